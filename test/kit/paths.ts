import { fileURLToPath } from 'node:url';

/** The repository root, with a slash at its end. */
export const root: string = fileURLToPath(new URL('../..', import.meta.url));
