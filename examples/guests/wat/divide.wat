;; Divide. The quotient of two signed i32; traps when the second is zero.
(module
  (func $divide (export "divide") (param $a i32) (param $b i32) (result i32)
    (i32.div_s (local.get $a) (local.get $b))))
