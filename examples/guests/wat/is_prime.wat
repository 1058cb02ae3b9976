;; Is it prime. Answers 1 for a prime and 0 for another number, by trial division.
(module
  (func (export "is_prime") (param $n i32) (result i32)
    (local $divisor i32)
    (if (i32.lt_u (local.get $n) (i32.const 2))
      (then (return (i32.const 0))))
    (local.set $divisor (i32.const 2))
    (block $prime
      (loop $next
        ;; Wide, so that the square of a large divisor does not wrap.
        (br_if $prime
          (i64.gt_u
            (i64.mul (i64.extend_i32_u (local.get $divisor)) (i64.extend_i32_u (local.get $divisor)))
            (i64.extend_i32_u (local.get $n))))
        (if (i32.eqz (i32.rem_u (local.get $n) (local.get $divisor)))
          (then (return (i32.const 0))))
        (local.set $divisor (i32.add (local.get $divisor) (i32.const 1)))
        (br $next)))
    (i32.const 1)))
