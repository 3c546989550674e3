import { WEIGHT_KERNEL_MODULE } from './weight-kernel-module.ts';

/** What weight-kernel.wat exports. Positions are bytes in `memory`. */
export interface KernelExports {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  abs_max_f16(from: number, count: number, bits: number): number;
  abs_max_f32(from: number, count: number, bits: number): number;
  fold_abs_max_f16(from: number, count: number, maxima: number): void;
  fold_abs_max_f32(from: number, count: number, maxima: number): void;
  pair_sum_f16(from: number, count: number, sum: number): number;
  pair_sum_f32(from: number, count: number, sum: number): number;
  fold_pair_sum_f16(from: number, next: number, count: number, sums: number): void;
  fold_pair_sum_f32(from: number, next: number, count: number, sums: number): void;
  quantize_row_f16(from: number, to: number, count: number, scale: number, limit: number): void;
  quantize_row_f32(from: number, to: number, count: number, scale: number, limit: number): void;
  quantize_columns_f16(
    from: number,
    to: number,
    count: number,
    scales: number,
    limit: number,
  ): void;
  quantize_columns_f32(
    from: number,
    to: number,
    count: number,
    scales: number,
    limit: number,
  ): void;
  subtract_rows_f64(
    row: number,
    count: number,
    factor: number,
    stride: number,
    errors: number,
    groups: number,
  ): void;
  scale_row_f16(from: number, to: number, count: number, factors: number, factor: number): void;
  scale_row_f16_f32(from: number, to: number, count: number, factors: number, factor: number): void;
  scale_row_f32(from: number, to: number, count: number, factors: number, factor: number): void;
}

/** The part of the WebAssembly interface used here; Node's types leave it to the DOM library. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object) => { readonly exports: unknown };
};

const PAGE_BYTES = 65536;

let compiled: object | undefined;

/** Returns the kernel with a memory of its own; it is compiled once. */
export function instantiateKernel(): KernelExports {
  compiled ??= new WebAssembly.Module(
    Uint8Array.from(atob(WEIGHT_KERNEL_MODULE), (character) => character.charCodeAt(0)),
  );
  return new WebAssembly.Instance(compiled).exports as KernelExports;
}

/** Makes the memory at least `byteLength` bytes long. Views of it made before are then empty. */
export function growMemory(wasm: KernelExports, byteLength: number): void {
  const missing = byteLength - wasm.memory.buffer.byteLength;
  if (missing > 0) wasm.memory.grow(Math.ceil(missing / PAGE_BYTES));
}
