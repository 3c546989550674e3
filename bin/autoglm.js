#!/usr/bin/env node
import { main } from '../dist/cli/main.js';

// An exit takes temporary files along; the default end by a signal would leave them.
// Not `once`: npm and a terminal send the same signal twice, and the second must not cut this short.
process.on('SIGINT', () => process.exit(130));
process.on('SIGTERM', () => process.exit(143));
process.on('SIGHUP', () => process.exit(129));
process.exitCode = await main(process.argv.slice(2));
