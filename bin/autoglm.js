#!/usr/bin/env node
import { main } from '../dist/cli/main.js';

// An exit takes temporary files along; the default end by a signal would leave them.
process.once('SIGINT', () => process.exit(130));
process.once('SIGTERM', () => process.exit(143));
process.exitCode = await main(process.argv.slice(2));
