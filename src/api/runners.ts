/** The runtimes that calibrate and judge. */
export { chooseDevice, type DeviceChoice } from '../runners/devices.ts';
export { RUNNERS } from '../runners/index.ts';
export type { Device, LoadOptions, Runner, Session } from '../runners/runner.ts';
