;; Arithmetic on one row of a weight matrix. TypeScript walks the rows (weight-kernel.ts), so that
;; these loops stay small enough to read.
;;
;; Nothing is factored into functions: V8 11 (Node 20) does not inline calls inside WebAssembly, and
;; a call per eight values costs two thirds of the speed.
;;
;; The vector loops handle 16, 8 or 4 values at a time and may pass the end of the row by up to 15.
;; What they read there is whatever follows; what they write there is overwritten by the next
;; row or lies in the slack behind the last. Only abs_max_* and pair_sum_* keep to the row, since their
;; result would show the difference.
;;
;; Widening float16 (exact for zero, subnormal and normal numbers; NaN and infinity are refused before):
;; sign-extend to 32 bits, shift left by 13, keep sign, exponent and fraction, multiply by 2^112.
;;
;; Rounding half to even: adding 1.5 * 2^23 leaves the integer in the low bits of the float32, and
;; 0x4b400000 is that number's own bit pattern. The quotient is bounded below first, because the trick fails
;; where the sum turns negative; above, the bits keep growing and the narrowing saturates.
(module
  (memory (export "memory") 1)

  ;; Largest magnitude among `count` float16 values, as float16 bits. From 0x7c00 on the row holds
  ;; infinity or NaN, because the bits of magnitudes are ordered like integers.
  (func (export "abs_max_f16") (param $from i32) (param $count i32) (param $bits i32) (result i32)
    (local $end i32) (local $vector_end i32) (local $max v128)
    (local.set $end (i32.add (local.get $from) (i32.shl (local.get $count) (i32.const 1))))
    (local.set $vector_end (i32.sub (local.get $end) (i32.const 15)))
    (local.set $max (i16x8.splat (local.get $bits)))
    (block $vectors_done
      (loop $vectors
        (br_if $vectors_done (i32.ge_s (local.get $from) (local.get $vector_end)))
        (local.set $max
          (i16x8.max_u (local.get $max)
            (v128.and (v128.load align=2 (local.get $from)) (i16x8.splat (i32.const 0x7fff)))))
        (local.set $from (i32.add (local.get $from) (i32.const 16)))
        (br $vectors)))
    (block $scalars_done
      (loop $scalars
        (br_if $scalars_done (i32.ge_u (local.get $from) (local.get $end)))
        (local.set $max
          (i16x8.max_u (local.get $max)
            (i16x8.splat (i32.and (i32.load16_u (local.get $from)) (i32.const 0x7fff)))))
        (local.set $from (i32.add (local.get $from) (i32.const 2)))
        (br $scalars)))
    (local.set $max (i16x8.max_u (local.get $max)
      (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $max) (local.get $max))))
    (local.set $max (i16x8.max_u (local.get $max)
      (i8x16.shuffle 4 5 6 7 0 1 2 3 12 13 14 15 8 9 10 11 (local.get $max) (local.get $max))))
    (local.set $max (i16x8.max_u (local.get $max)
      (i8x16.shuffle 2 3 0 1 6 7 4 5 10 11 8 9 14 15 12 13 (local.get $max) (local.get $max))))
    (i16x8.extract_lane_u 0 (local.get $max)))

  ;; The same for float32; from 0x7f800000 on the row holds infinity or NaN.
  (func (export "abs_max_f32") (param $from i32) (param $count i32) (param $bits i32) (result i32)
    (local $end i32) (local $vector_end i32) (local $max v128)
    (local.set $end (i32.add (local.get $from) (i32.shl (local.get $count) (i32.const 2))))
    (local.set $vector_end (i32.sub (local.get $end) (i32.const 15)))
    (local.set $max (i32x4.splat (local.get $bits)))
    (block $vectors_done
      (loop $vectors
        (br_if $vectors_done (i32.ge_s (local.get $from) (local.get $vector_end)))
        (local.set $max
          (i32x4.max_u (local.get $max)
            (v128.and (v128.load align=4 (local.get $from)) (i32x4.splat (i32.const 0x7fffffff)))))
        (local.set $from (i32.add (local.get $from) (i32.const 16)))
        (br $vectors)))
    (block $scalars_done
      (loop $scalars
        (br_if $scalars_done (i32.ge_u (local.get $from) (local.get $end)))
        (local.set $max
          (i32x4.max_u (local.get $max)
            (i32x4.splat (i32.and (i32.load (local.get $from)) (i32.const 0x7fffffff)))))
        (local.set $from (i32.add (local.get $from) (i32.const 4)))
        (br $scalars)))
    (local.set $max (i32x4.max_u (local.get $max)
      (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $max) (local.get $max))))
    (local.set $max (i32x4.max_u (local.get $max)
      (i8x16.shuffle 4 5 6 7 0 1 2 3 12 13 14 15 8 9 10 11 (local.get $max) (local.get $max))))
    (i32x4.extract_lane 0 (local.get $max)))

  ;; maxima[i] = max(maxima[i], |row[i]|) on float16 bits; `maxima` are 16-bit.
  (func (export "fold_abs_max_f16") (param $from i32) (param $count i32) (param $maxima i32)
    (local $end i32)
    (local.set $end (i32.add (local.get $from) (i32.shl (local.get $count) (i32.const 1))))
    (block $done
      (loop $vectors
        (br_if $done (i32.ge_u (local.get $from) (local.get $end)))
        (v128.store (local.get $maxima)
          (i16x8.max_u (v128.load (local.get $maxima))
            (v128.and (v128.load align=2 (local.get $from)) (i16x8.splat (i32.const 0x7fff)))))
        (local.set $from (i32.add (local.get $from) (i32.const 16)))
        (local.set $maxima (i32.add (local.get $maxima) (i32.const 16)))
        (br $vectors))))

  ;; The same for float32 with 32-bit `maxima`.
  (func (export "fold_abs_max_f32") (param $from i32) (param $count i32) (param $maxima i32)
    (local $end i32)
    (local.set $end (i32.add (local.get $from) (i32.shl (local.get $count) (i32.const 2))))
    (block $done
      (loop $vectors
        (br_if $done (i32.ge_u (local.get $from) (local.get $end)))
        (v128.store (local.get $maxima)
          (i32x4.max_u (v128.load (local.get $maxima))
            (v128.and (v128.load align=4 (local.get $from)) (i32x4.splat (i32.const 0x7fffffff)))))
        (local.set $from (i32.add (local.get $from) (i32.const 16)))
        (local.set $maxima (i32.add (local.get $maxima) (i32.const 16)))
        (br $vectors))))

  ;; Largest |row[2k] + row[2k + 1]| of float16 values; the row is finite. A last value without a
  ;; neighbour is left out: abs_max_* has it.
  (func (export "pair_sum_f16") (param $from i32) (param $count i32) (param $sum f32) (result f32)
    (local $end i32) (local $vector_end i32) (local $max v128) (local $a v128) (local $b v128)
    (local $kept_bits v128) (local $rebias v128)
    (local.set $kept_bits (i32x4.splat (i32.const 0x8fffe000)))
    (local.set $rebias (f32x4.splat (f32.const 0x1p112)))
    (local.set $end
      (i32.add (local.get $from) (i32.shl (i32.and (local.get $count) (i32.const -2)) (i32.const 1))))
    (local.set $vector_end (i32.sub (local.get $end) (i32.const 15)))
    (local.set $max (f32x4.splat (local.get $sum)))
    (block $vectors_done
      (loop $vectors
        (br_if $vectors_done (i32.ge_s (local.get $from) (local.get $vector_end)))
        (local.set $a (i32x4.shl (v128.load16x4_s align=2 (local.get $from)) (i32.const 13)))
        (local.set $b (i32x4.shl (v128.load16x4_s offset=8 align=2 (local.get $from)) (i32.const 13)))
        (local.set $a (f32x4.mul (v128.and (local.get $a) (local.get $kept_bits)) (local.get $rebias)))
        (local.set $b (f32x4.mul (v128.and (local.get $b) (local.get $kept_bits)) (local.get $rebias)))
        (local.set $max (f32x4.pmax (local.get $max) (f32x4.abs (f32x4.add
          (i8x16.shuffle 0 1 2 3 8 9 10 11 16 17 18 19 24 25 26 27 (local.get $a) (local.get $b))
          (i8x16.shuffle 4 5 6 7 12 13 14 15 20 21 22 23 28 29 30 31 (local.get $a) (local.get $b))))))
        (local.set $from (i32.add (local.get $from) (i32.const 16)))
        (br $vectors)))
    (block $pairs_done
      (loop $pairs
        (br_if $pairs_done (i32.ge_u (local.get $from) (local.get $end)))
        ;; A pair and two zeros, whose sum is no larger than any maximum.
        (local.set $a (i32x4.shl
          (i32x4.extend_low_i16x8_s (v128.load32_zero align=2 (local.get $from))) (i32.const 13)))
        (local.set $a (f32x4.mul (v128.and (local.get $a) (local.get $kept_bits)) (local.get $rebias)))
        (local.set $max (f32x4.pmax (local.get $max) (f32x4.abs (f32x4.add (local.get $a)
          (i8x16.shuffle 4 5 6 7 0 1 2 3 12 13 14 15 8 9 10 11 (local.get $a) (local.get $a))))))
        (local.set $from (i32.add (local.get $from) (i32.const 4)))
        (br $pairs)))
    (local.set $max (f32x4.pmax (local.get $max)
      (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $max) (local.get $max))))
    (f32.max (f32x4.extract_lane 0 (local.get $max)) (f32x4.extract_lane 1 (local.get $max))))

  ;; The same for float32.
  (func (export "pair_sum_f32") (param $from i32) (param $count i32) (param $sum f32) (result f32)
    (local $end i32) (local $vector_end i32) (local $max v128) (local $a v128) (local $b v128)
    (local.set $end
      (i32.add (local.get $from) (i32.shl (i32.and (local.get $count) (i32.const -2)) (i32.const 2))))
    (local.set $vector_end (i32.sub (local.get $end) (i32.const 31)))
    (local.set $max (f32x4.splat (local.get $sum)))
    (block $vectors_done
      (loop $vectors
        (br_if $vectors_done (i32.ge_s (local.get $from) (local.get $vector_end)))
        (local.set $a (v128.load align=4 (local.get $from)))
        (local.set $b (v128.load offset=16 align=4 (local.get $from)))
        (local.set $max (f32x4.pmax (local.get $max) (f32x4.abs (f32x4.add
          (i8x16.shuffle 0 1 2 3 8 9 10 11 16 17 18 19 24 25 26 27 (local.get $a) (local.get $b))
          (i8x16.shuffle 4 5 6 7 12 13 14 15 20 21 22 23 28 29 30 31 (local.get $a) (local.get $b))))))
        (local.set $from (i32.add (local.get $from) (i32.const 32)))
        (br $vectors)))
    (block $pairs_done
      (loop $pairs
        (br_if $pairs_done (i32.ge_u (local.get $from) (local.get $end)))
        (local.set $max (f32x4.pmax (local.get $max) (f32x4.abs (f32x4.splat
          (f32.add (f32.load (local.get $from)) (f32.load offset=4 (local.get $from)))))))
        (local.set $from (i32.add (local.get $from) (i32.const 8)))
        (br $pairs)))
    (local.set $max (f32x4.pmax (local.get $max)
      (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $max) (local.get $max))))
    (f32.max (f32x4.extract_lane 0 (local.get $max)) (f32x4.extract_lane 1 (local.get $max))))

  ;; sums[i] = max(sums[i], |row[i] + next[i]|) for two float16 rows; `sums` are float32.
  (func (export "fold_pair_sum_f16")
    (param $from i32) (param $next i32) (param $count i32) (param $sums i32)
    (local $end i32) (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (local $kept_bits v128) (local $rebias v128)
    (local.set $kept_bits (i32x4.splat (i32.const 0x8fffe000)))
    (local.set $rebias (f32x4.splat (f32.const 0x1p112)))
    (local.set $end (i32.add (local.get $from) (i32.shl (local.get $count) (i32.const 1))))
    (block $done
      (loop $vectors
        (br_if $done (i32.ge_u (local.get $from) (local.get $end)))
        (local.set $a (i32x4.shl (v128.load16x4_s align=2 (local.get $from)) (i32.const 13)))
        (local.set $b (i32x4.shl (v128.load16x4_s offset=8 align=2 (local.get $from)) (i32.const 13)))
        (local.set $c (i32x4.shl (v128.load16x4_s align=2 (local.get $next)) (i32.const 13)))
        (local.set $d (i32x4.shl (v128.load16x4_s offset=8 align=2 (local.get $next)) (i32.const 13)))
        (local.set $a (f32x4.mul (v128.and (local.get $a) (local.get $kept_bits)) (local.get $rebias)))
        (local.set $b (f32x4.mul (v128.and (local.get $b) (local.get $kept_bits)) (local.get $rebias)))
        (local.set $c (f32x4.mul (v128.and (local.get $c) (local.get $kept_bits)) (local.get $rebias)))
        (local.set $d (f32x4.mul (v128.and (local.get $d) (local.get $kept_bits)) (local.get $rebias)))
        (v128.store (local.get $sums) (f32x4.pmax (v128.load (local.get $sums))
          (f32x4.abs (f32x4.add (local.get $a) (local.get $c)))))
        (v128.store offset=16 (local.get $sums) (f32x4.pmax (v128.load offset=16 (local.get $sums))
          (f32x4.abs (f32x4.add (local.get $b) (local.get $d)))))
        (local.set $from (i32.add (local.get $from) (i32.const 16)))
        (local.set $next (i32.add (local.get $next) (i32.const 16)))
        (local.set $sums (i32.add (local.get $sums) (i32.const 32)))
        (br $vectors))))

  ;; The same for float32.
  (func (export "fold_pair_sum_f32")
    (param $from i32) (param $next i32) (param $count i32) (param $sums i32)
    (local $end i32)
    (local.set $end (i32.add (local.get $from) (i32.shl (local.get $count) (i32.const 2))))
    (block $done
      (loop $vectors
        (br_if $done (i32.ge_u (local.get $from) (local.get $end)))
        (v128.store (local.get $sums) (f32x4.pmax (v128.load (local.get $sums))
          (f32x4.abs (f32x4.add
            (v128.load align=4 (local.get $from)) (v128.load align=4 (local.get $next))))))
        (local.set $from (i32.add (local.get $from) (i32.const 16)))
        (local.set $next (i32.add (local.get $next) (i32.const 16)))
        (local.set $sums (i32.add (local.get $sums) (i32.const 16)))
        (br $vectors))))

  ;; to[i] = clamp(round(row[i] / scale), -limit, limit) for float16; `limit` is 127 at most.
  (func (export "quantize_row_f16")
    (param $from i32) (param $to i32) (param $count i32) (param $scale f32) (param $limit i32)
    (local $end i32) (local $high v128) (local $low v128) (local $magic v128) (local $magic_bits v128)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (local $kept_bits v128) (local $rebias v128) (local $divisor v128)
    (local.set $end (i32.add (local.get $from) (i32.shl (local.get $count) (i32.const 1))))
    (local.set $high (i8x16.splat (local.get $limit)))
    (local.set $low (f32x4.neg (f32x4.splat (f32.convert_i32_s (local.get $limit)))))
    (local.set $magic (f32x4.splat (f32.const 12582912)))
    (local.set $magic_bits (i32x4.splat (i32.const 0x4b400000)))
    (local.set $kept_bits (i32x4.splat (i32.const 0x8fffe000)))
    (local.set $rebias (f32x4.splat (f32.const 0x1p112)))
    (local.set $divisor (f32x4.splat (local.get $scale)))
    (block $done
      (loop $vectors
        (br_if $done (i32.ge_u (local.get $from) (local.get $end)))
        (local.set $a (i32x4.shl (v128.load16x4_s align=2 (local.get $from)) (i32.const 13)))
        (local.set $b (i32x4.shl (v128.load16x4_s offset=8 align=2 (local.get $from)) (i32.const 13)))
        (local.set $c (i32x4.shl (v128.load16x4_s offset=16 align=2 (local.get $from)) (i32.const 13)))
        (local.set $d (i32x4.shl (v128.load16x4_s offset=24 align=2 (local.get $from)) (i32.const 13)))
        (local.set $a (f32x4.mul (v128.and (local.get $a) (local.get $kept_bits)) (local.get $rebias)))
        (local.set $b (f32x4.mul (v128.and (local.get $b) (local.get $kept_bits)) (local.get $rebias)))
        (local.set $c (f32x4.mul (v128.and (local.get $c) (local.get $kept_bits)) (local.get $rebias)))
        (local.set $d (f32x4.mul (v128.and (local.get $d) (local.get $kept_bits)) (local.get $rebias)))
        (local.set $a (f32x4.add (local.get $magic)
          (f32x4.pmax (f32x4.div (local.get $a) (local.get $divisor)) (local.get $low))))
        (local.set $b (f32x4.add (local.get $magic)
          (f32x4.pmax (f32x4.div (local.get $b) (local.get $divisor)) (local.get $low))))
        (local.set $c (f32x4.add (local.get $magic)
          (f32x4.pmax (f32x4.div (local.get $c) (local.get $divisor)) (local.get $low))))
        (local.set $d (f32x4.add (local.get $magic)
          (f32x4.pmax (f32x4.div (local.get $d) (local.get $divisor)) (local.get $low))))
        (local.set $a (i32x4.sub (local.get $a) (local.get $magic_bits)))
        (local.set $b (i32x4.sub (local.get $b) (local.get $magic_bits)))
        (local.set $c (i32x4.sub (local.get $c) (local.get $magic_bits)))
        (local.set $d (i32x4.sub (local.get $d) (local.get $magic_bits)))
        (v128.store align=1 (local.get $to)
          (i8x16.min_s (local.get $high)
            (i8x16.narrow_i16x8_s
              (i16x8.narrow_i32x4_s (local.get $a) (local.get $b))
              (i16x8.narrow_i32x4_s (local.get $c) (local.get $d)))))
        (local.set $from (i32.add (local.get $from) (i32.const 32)))
        (local.set $to (i32.add (local.get $to) (i32.const 16)))
        (br $vectors))))

  ;; The same for float32.
  (func (export "quantize_row_f32")
    (param $from i32) (param $to i32) (param $count i32) (param $scale f32) (param $limit i32)
    (local $end i32) (local $high v128) (local $low v128) (local $magic v128) (local $magic_bits v128)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (local $divisor v128)
    (local.set $end (i32.add (local.get $from) (i32.shl (local.get $count) (i32.const 2))))
    (local.set $high (i8x16.splat (local.get $limit)))
    (local.set $low (f32x4.neg (f32x4.splat (f32.convert_i32_s (local.get $limit)))))
    (local.set $magic (f32x4.splat (f32.const 12582912)))
    (local.set $magic_bits (i32x4.splat (i32.const 0x4b400000)))
    (local.set $divisor (f32x4.splat (local.get $scale)))
    (block $done
      (loop $vectors
        (br_if $done (i32.ge_u (local.get $from) (local.get $end)))
        (local.set $a (v128.load align=4 (local.get $from)))
        (local.set $b (v128.load offset=16 align=4 (local.get $from)))
        (local.set $c (v128.load offset=32 align=4 (local.get $from)))
        (local.set $d (v128.load offset=48 align=4 (local.get $from)))
        (local.set $a (f32x4.add (local.get $magic)
          (f32x4.pmax (f32x4.div (local.get $a) (local.get $divisor)) (local.get $low))))
        (local.set $b (f32x4.add (local.get $magic)
          (f32x4.pmax (f32x4.div (local.get $b) (local.get $divisor)) (local.get $low))))
        (local.set $c (f32x4.add (local.get $magic)
          (f32x4.pmax (f32x4.div (local.get $c) (local.get $divisor)) (local.get $low))))
        (local.set $d (f32x4.add (local.get $magic)
          (f32x4.pmax (f32x4.div (local.get $d) (local.get $divisor)) (local.get $low))))
        (local.set $a (i32x4.sub (local.get $a) (local.get $magic_bits)))
        (local.set $b (i32x4.sub (local.get $b) (local.get $magic_bits)))
        (local.set $c (i32x4.sub (local.get $c) (local.get $magic_bits)))
        (local.set $d (i32x4.sub (local.get $d) (local.get $magic_bits)))
        (v128.store align=1 (local.get $to)
          (i8x16.min_s (local.get $high)
            (i8x16.narrow_i16x8_s
              (i16x8.narrow_i32x4_s (local.get $a) (local.get $b))
              (i16x8.narrow_i32x4_s (local.get $c) (local.get $d)))))
        (local.set $from (i32.add (local.get $from) (i32.const 64)))
        (local.set $to (i32.add (local.get $to) (i32.const 16)))
        (br $vectors))))

  ;; to[i] = clamp(round(row[i] / scales[i]), -limit, limit) for float16; `scales` are float32.
  (func (export "quantize_columns_f16")
    (param $from i32) (param $to i32) (param $count i32) (param $scales i32) (param $limit i32)
    (local $end i32) (local $high v128) (local $low v128) (local $magic v128) (local $magic_bits v128)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (local $kept_bits v128) (local $rebias v128)
    (local.set $end (i32.add (local.get $from) (i32.shl (local.get $count) (i32.const 1))))
    (local.set $high (i8x16.splat (local.get $limit)))
    (local.set $low (f32x4.neg (f32x4.splat (f32.convert_i32_s (local.get $limit)))))
    (local.set $magic (f32x4.splat (f32.const 12582912)))
    (local.set $magic_bits (i32x4.splat (i32.const 0x4b400000)))
    (local.set $kept_bits (i32x4.splat (i32.const 0x8fffe000)))
    (local.set $rebias (f32x4.splat (f32.const 0x1p112)))
    (block $done
      (loop $vectors
        (br_if $done (i32.ge_u (local.get $from) (local.get $end)))
        (local.set $a (i32x4.shl (v128.load16x4_s align=2 (local.get $from)) (i32.const 13)))
        (local.set $b (i32x4.shl (v128.load16x4_s offset=8 align=2 (local.get $from)) (i32.const 13)))
        (local.set $c (i32x4.shl (v128.load16x4_s offset=16 align=2 (local.get $from)) (i32.const 13)))
        (local.set $d (i32x4.shl (v128.load16x4_s offset=24 align=2 (local.get $from)) (i32.const 13)))
        (local.set $a (f32x4.mul (v128.and (local.get $a) (local.get $kept_bits)) (local.get $rebias)))
        (local.set $b (f32x4.mul (v128.and (local.get $b) (local.get $kept_bits)) (local.get $rebias)))
        (local.set $c (f32x4.mul (v128.and (local.get $c) (local.get $kept_bits)) (local.get $rebias)))
        (local.set $d (f32x4.mul (v128.and (local.get $d) (local.get $kept_bits)) (local.get $rebias)))
        (local.set $a (f32x4.add (local.get $magic)
          (f32x4.pmax (f32x4.div (local.get $a) (v128.load align=4 (local.get $scales))) (local.get $low))))
        (local.set $b (f32x4.add (local.get $magic)
          (f32x4.pmax (f32x4.div (local.get $b) (v128.load offset=16 align=4 (local.get $scales))) (local.get $low))))
        (local.set $c (f32x4.add (local.get $magic)
          (f32x4.pmax (f32x4.div (local.get $c) (v128.load offset=32 align=4 (local.get $scales))) (local.get $low))))
        (local.set $d (f32x4.add (local.get $magic)
          (f32x4.pmax (f32x4.div (local.get $d) (v128.load offset=48 align=4 (local.get $scales))) (local.get $low))))
        (local.set $a (i32x4.sub (local.get $a) (local.get $magic_bits)))
        (local.set $b (i32x4.sub (local.get $b) (local.get $magic_bits)))
        (local.set $c (i32x4.sub (local.get $c) (local.get $magic_bits)))
        (local.set $d (i32x4.sub (local.get $d) (local.get $magic_bits)))
        (v128.store align=1 (local.get $to)
          (i8x16.min_s (local.get $high)
            (i8x16.narrow_i16x8_s
              (i16x8.narrow_i32x4_s (local.get $a) (local.get $b))
              (i16x8.narrow_i32x4_s (local.get $c) (local.get $d)))))
        (local.set $from (i32.add (local.get $from) (i32.const 32)))
        (local.set $to (i32.add (local.get $to) (i32.const 16)))
        (local.set $scales (i32.add (local.get $scales) (i32.const 64)))
        (br $vectors))))

  ;; The same for float32.
  (func (export "quantize_columns_f32")
    (param $from i32) (param $to i32) (param $count i32) (param $scales i32) (param $limit i32)
    (local $end i32) (local $high v128) (local $low v128) (local $magic v128) (local $magic_bits v128)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (local.set $end (i32.add (local.get $from) (i32.shl (local.get $count) (i32.const 2))))
    (local.set $high (i8x16.splat (local.get $limit)))
    (local.set $low (f32x4.neg (f32x4.splat (f32.convert_i32_s (local.get $limit)))))
    (local.set $magic (f32x4.splat (f32.const 12582912)))
    (local.set $magic_bits (i32x4.splat (i32.const 0x4b400000)))
    (block $done
      (loop $vectors
        (br_if $done (i32.ge_u (local.get $from) (local.get $end)))
        (local.set $a (v128.load align=4 (local.get $from)))
        (local.set $b (v128.load offset=16 align=4 (local.get $from)))
        (local.set $c (v128.load offset=32 align=4 (local.get $from)))
        (local.set $d (v128.load offset=48 align=4 (local.get $from)))
        (local.set $a (f32x4.add (local.get $magic)
          (f32x4.pmax (f32x4.div (local.get $a) (v128.load align=4 (local.get $scales))) (local.get $low))))
        (local.set $b (f32x4.add (local.get $magic)
          (f32x4.pmax (f32x4.div (local.get $b) (v128.load offset=16 align=4 (local.get $scales))) (local.get $low))))
        (local.set $c (f32x4.add (local.get $magic)
          (f32x4.pmax (f32x4.div (local.get $c) (v128.load offset=32 align=4 (local.get $scales))) (local.get $low))))
        (local.set $d (f32x4.add (local.get $magic)
          (f32x4.pmax (f32x4.div (local.get $d) (v128.load offset=48 align=4 (local.get $scales))) (local.get $low))))
        (local.set $a (i32x4.sub (local.get $a) (local.get $magic_bits)))
        (local.set $b (i32x4.sub (local.get $b) (local.get $magic_bits)))
        (local.set $c (i32x4.sub (local.get $c) (local.get $magic_bits)))
        (local.set $d (i32x4.sub (local.get $d) (local.get $magic_bits)))
        (v128.store align=1 (local.get $to)
          (i8x16.min_s (local.get $high)
            (i8x16.narrow_i16x8_s
              (i16x8.narrow_i32x4_s (local.get $a) (local.get $b))
              (i16x8.narrow_i32x4_s (local.get $c) (local.get $d)))))
        (local.set $from (i32.add (local.get $from) (i32.const 64)))
        (local.set $to (i32.add (local.get $to) (i32.const 16)))
        (local.set $scales (i32.add (local.get $scales) (i32.const 64)))
        (br $vectors))))

  ;; to[i] = row[i] * factor * factors[i], both products in float32, rounded to float16, ties to even, as
  ;; float16.ts does. NaN and infinity stay what they are. `factors` are float32.
  ;;
  ;; Narrowing: taking 112 from the exponent and adding 0xfff, or 0x1000 to odd numbers, rounds at bit 13.
  ;; Below 2^-14 adding 0.5, whose last place is that of a float16 subnormal, rounds.
  (func (export "scale_row_f16")
    (param $from i32) (param $to i32) (param $count i32) (param $factors i32) (param $factor f32)
    (local $end i32) (local $a v128) (local $b v128) (local $m v128) (local $sign v128)
    (local $of_row v128) (local $kept_bits v128) (local $rebias v128) (local $infinity v128)
    (local $no_sign v128) (local $sign_bit v128) (local $too_large v128) (local $too_small v128)
    (local $less_bias v128) (local $half v128) (local $one v128)
    (local.set $end (i32.add (local.get $from) (i32.shl (local.get $count) (i32.const 1))))
    (local.set $of_row (f32x4.splat (local.get $factor)))
    (local.set $kept_bits (i32x4.splat (i32.const 0x8fffe000)))
    (local.set $rebias (f32x4.splat (f32.const 0x1p112)))
    (local.set $infinity (i32x4.splat (i32.const 0x7f800000)))
    (local.set $no_sign (i32x4.splat (i32.const 0x7fffffff)))
    (local.set $sign_bit (i32x4.splat (i32.const 0x8000)))
    (local.set $too_large (i32x4.splat (i32.const 0x47800000)))
    (local.set $too_small (i32x4.splat (i32.const 0x38800000)))
    (local.set $less_bias (i32x4.splat (i32.const 0x37fff001)))
    (local.set $half (f32x4.splat (f32.const 0.5)))
    (local.set $one (i32x4.splat (i32.const 1)))
    (block $done
      (loop $vectors
        (br_if $done (i32.ge_u (local.get $from) (local.get $end)))
        (local.set $a (i32x4.shl (v128.load16x4_s align=2 (local.get $from)) (i32.const 13)))
        (local.set $a (f32x4.mul (v128.and (local.get $a) (local.get $kept_bits)) (local.get $rebias)))
        (local.set $a (v128.or (local.get $a)
          (v128.and (local.get $infinity)
            (i32x4.ge_u (v128.and (local.get $a) (local.get $no_sign)) (local.get $too_large)))))
        (local.set $b (i32x4.shl (v128.load16x4_s offset=8 align=2 (local.get $from)) (i32.const 13)))
        (local.set $b (f32x4.mul (v128.and (local.get $b) (local.get $kept_bits)) (local.get $rebias)))
        (local.set $b (v128.or (local.get $b)
          (v128.and (local.get $infinity)
            (i32x4.ge_u (v128.and (local.get $b) (local.get $no_sign)) (local.get $too_large)))))
        (local.set $a (f32x4.mul
          (f32x4.mul (local.get $a) (local.get $of_row))
          (v128.load align=4 (local.get $factors))))
        (local.set $sign (v128.and (i32x4.shr_u (local.get $a) (i32.const 16)) (local.get $sign_bit)))
        (local.set $m (v128.and (local.get $a) (local.get $no_sign)))
        (local.set $a (i32x4.shr_u
          (i32x4.add (i32x4.sub (local.get $m) (local.get $less_bias))
            (v128.and (i32x4.shr_u (local.get $m) (i32.const 13)) (local.get $one)))
          (i32.const 13)))
        (local.set $a (v128.bitselect
          (i32x4.sub (f32x4.add (local.get $m) (local.get $half)) (local.get $half))
          (local.get $a)
          (i32x4.lt_u (local.get $m) (local.get $too_small))))
        (local.set $a (v128.bitselect
          (v128.or (i32x4.splat (i32.const 0x7c00))
            (v128.and (i32x4.gt_u (local.get $m) (local.get $infinity)) (i32x4.splat (i32.const 0x200))))
          (local.get $a)
          (i32x4.ge_u (local.get $m) (local.get $too_large))))
        (local.set $a (v128.or (local.get $a) (local.get $sign)))
        (local.set $b (f32x4.mul
          (f32x4.mul (local.get $b) (local.get $of_row))
          (v128.load offset=16 align=4 (local.get $factors))))
        (local.set $sign (v128.and (i32x4.shr_u (local.get $b) (i32.const 16)) (local.get $sign_bit)))
        (local.set $m (v128.and (local.get $b) (local.get $no_sign)))
        (local.set $b (i32x4.shr_u
          (i32x4.add (i32x4.sub (local.get $m) (local.get $less_bias))
            (v128.and (i32x4.shr_u (local.get $m) (i32.const 13)) (local.get $one)))
          (i32.const 13)))
        (local.set $b (v128.bitselect
          (i32x4.sub (f32x4.add (local.get $m) (local.get $half)) (local.get $half))
          (local.get $b)
          (i32x4.lt_u (local.get $m) (local.get $too_small))))
        (local.set $b (v128.bitselect
          (v128.or (i32x4.splat (i32.const 0x7c00))
            (v128.and (i32x4.gt_u (local.get $m) (local.get $infinity)) (i32x4.splat (i32.const 0x200))))
          (local.get $b)
          (i32x4.ge_u (local.get $m) (local.get $too_large))))
        (local.set $b (v128.or (local.get $b) (local.get $sign)))
        (v128.store align=2 (local.get $to)
          (i16x8.narrow_i32x4_u (local.get $a) (local.get $b)))
        (local.set $from (i32.add (local.get $from) (i32.const 16)))
        (local.set $to (i32.add (local.get $to) (i32.const 16)))
        (local.set $factors (i32.add (local.get $factors) (i32.const 32)))
        (br $vectors))))

  ;; The same without the last rounding: from float16 to float32.
  (func (export "scale_row_f16_f32")
    (param $from i32) (param $to i32) (param $count i32) (param $factors i32) (param $factor f32)
    (local $end i32) (local $a v128) (local $b v128) (local $of_row v128) (local $kept_bits v128)
    (local $rebias v128) (local $infinity v128) (local $no_sign v128) (local $too_large v128)
    (local.set $end (i32.add (local.get $from) (i32.shl (local.get $count) (i32.const 1))))
    (local.set $of_row (f32x4.splat (local.get $factor)))
    (local.set $kept_bits (i32x4.splat (i32.const 0x8fffe000)))
    (local.set $rebias (f32x4.splat (f32.const 0x1p112)))
    (local.set $infinity (i32x4.splat (i32.const 0x7f800000)))
    (local.set $no_sign (i32x4.splat (i32.const 0x7fffffff)))
    (local.set $too_large (i32x4.splat (i32.const 0x47800000)))
    (block $done
      (loop $vectors
        (br_if $done (i32.ge_u (local.get $from) (local.get $end)))
        (local.set $a (i32x4.shl (v128.load16x4_s align=2 (local.get $from)) (i32.const 13)))
        (local.set $a (f32x4.mul (v128.and (local.get $a) (local.get $kept_bits)) (local.get $rebias)))
        (local.set $a (v128.or (local.get $a)
          (v128.and (local.get $infinity)
            (i32x4.ge_u (v128.and (local.get $a) (local.get $no_sign)) (local.get $too_large)))))
        (local.set $b (i32x4.shl (v128.load16x4_s offset=8 align=2 (local.get $from)) (i32.const 13)))
        (local.set $b (f32x4.mul (v128.and (local.get $b) (local.get $kept_bits)) (local.get $rebias)))
        (local.set $b (v128.or (local.get $b)
          (v128.and (local.get $infinity)
            (i32x4.ge_u (v128.and (local.get $b) (local.get $no_sign)) (local.get $too_large)))))
        (v128.store align=4 (local.get $to)
          (f32x4.mul
            (f32x4.mul (local.get $a) (local.get $of_row))
            (v128.load align=4 (local.get $factors))))
        (v128.store offset=16 align=4 (local.get $to)
          (f32x4.mul
            (f32x4.mul (local.get $b) (local.get $of_row))
            (v128.load offset=16 align=4 (local.get $factors))))
        (local.set $from (i32.add (local.get $from) (i32.const 16)))
        (local.set $to (i32.add (local.get $to) (i32.const 32)))
        (local.set $factors (i32.add (local.get $factors) (i32.const 32)))
        (br $vectors))))

  ;; The same from float32.
  (func (export "scale_row_f32")
    (param $from i32) (param $to i32) (param $count i32) (param $factors i32) (param $factor f32)
    (local $end i32) (local $of_row v128)
    (local.set $end (i32.add (local.get $from) (i32.shl (local.get $count) (i32.const 2))))
    (local.set $of_row (f32x4.splat (local.get $factor)))
    (block $done
      (loop $vectors
        (br_if $done (i32.ge_u (local.get $from) (local.get $end)))
        (v128.store align=4 (local.get $to)
          (f32x4.mul
            (f32x4.mul (v128.load align=4 (local.get $from)) (local.get $of_row))
            (v128.load align=4 (local.get $factors))))
        (local.set $from (i32.add (local.get $from) (i32.const 16)))
        (local.set $to (i32.add (local.get $to) (i32.const 16)))
        (local.set $factors (i32.add (local.get $factors) (i32.const 16)))
        (br $vectors))))

  ;; Takes from a row of float64 four rows at a time, each times its error, for `groups` groups of four rows:
  ;; row -= (e0 f0 + e1 f1) + (e2 f2 + e3 f3). Rows of the factor lie `stride` bytes apart.
  (func (export "subtract_rows_f64")
    (param $row i32) (param $count i32) (param $factor i32) (param $stride i32)
    (param $errors i32) (param $groups i32)
    (local $to i32) (local $end i32)
    (local $f0 i32) (local $f1 i32) (local $f2 i32) (local $f3 i32)
    (local $e0 v128) (local $e1 v128) (local $e2 v128) (local $e3 v128)
    (local.set $end (i32.add (local.get $row) (i32.shl (local.get $count) (i32.const 3))))
    (block $groups_done
      (loop $next_group
        (br_if $groups_done (i32.eqz (local.get $groups)))
        (local.set $e0 (v128.load64_splat (local.get $errors)))
        (local.set $e1 (v128.load64_splat offset=8 (local.get $errors)))
        (local.set $e2 (v128.load64_splat offset=16 (local.get $errors)))
        (local.set $e3 (v128.load64_splat offset=24 (local.get $errors)))
        (local.set $f0 (local.get $factor))
        (local.set $f1 (i32.add (local.get $f0) (local.get $stride)))
        (local.set $f2 (i32.add (local.get $f1) (local.get $stride)))
        (local.set $f3 (i32.add (local.get $f2) (local.get $stride)))
        (local.set $factor (i32.add (local.get $f3) (local.get $stride)))
        (local.set $errors (i32.add (local.get $errors) (i32.const 32)))
        (local.set $groups (i32.sub (local.get $groups) (i32.const 1)))
        (local.set $to (local.get $row))
        (block $vectors_done
          (loop $vectors
            (br_if $vectors_done
              (i32.gt_u (i32.add (local.get $to) (i32.const 16)) (local.get $end)))
            (v128.store align=8 (local.get $to)
              (f64x2.sub (v128.load align=8 (local.get $to))
                (f64x2.add
                  (f64x2.add
                    (f64x2.mul (local.get $e0) (v128.load align=8 (local.get $f0)))
                    (f64x2.mul (local.get $e1) (v128.load align=8 (local.get $f1))))
                  (f64x2.add
                    (f64x2.mul (local.get $e2) (v128.load align=8 (local.get $f2)))
                    (f64x2.mul (local.get $e3) (v128.load align=8 (local.get $f3)))))))
            (local.set $to (i32.add (local.get $to) (i32.const 16)))
            (local.set $f0 (i32.add (local.get $f0) (i32.const 16)))
            (local.set $f1 (i32.add (local.get $f1) (i32.const 16)))
            (local.set $f2 (i32.add (local.get $f2) (i32.const 16)))
            (local.set $f3 (i32.add (local.get $f3) (i32.const 16)))
            (br $vectors)))
        (block $scalars_done
          (loop $scalars
            (br_if $scalars_done (i32.ge_u (local.get $to) (local.get $end)))
            (f64.store (local.get $to)
              (f64.sub (f64.load (local.get $to))
                (f64.add
                  (f64.add
                    (f64.mul (f64x2.extract_lane 0 (local.get $e0)) (f64.load (local.get $f0)))
                    (f64.mul (f64x2.extract_lane 0 (local.get $e1)) (f64.load (local.get $f1))))
                  (f64.add
                    (f64.mul (f64x2.extract_lane 0 (local.get $e2)) (f64.load (local.get $f2)))
                    (f64.mul (f64x2.extract_lane 0 (local.get $e3)) (f64.load (local.get $f3)))))))
            (local.set $to (i32.add (local.get $to) (i32.const 8)))
            (local.set $f0 (i32.add (local.get $f0) (i32.const 8)))
            (local.set $f1 (i32.add (local.get $f1) (i32.const 8)))
            (local.set $f2 (i32.add (local.get $f2) (i32.const 8)))
            (local.set $f3 (i32.add (local.get $f3) (i32.const 8)))
            (br $scalars)))
        (br $next_group)))))
