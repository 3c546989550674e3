import { readFileSync } from 'node:fs';

/**
 * Returns the peak resident set of this process in bytes. On Linux it is VmHWM: `ru_maxrss` survives
 * `exec`, so a child's would begin at the size of the parent that forked it.
 */
export function peakMemoryBytes(): number {
  if (process.platform === 'linux') {
    const match = /^VmHWM:\s*(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'));
    if (match !== null) return Number(match[1]) * 1024;
  }
  return process.resourceUsage().maxRSS * 1024;
}
