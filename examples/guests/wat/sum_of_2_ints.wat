;; Sum of two ints. Adds two i32, as small as a module gets.
(module
  (func (export "sum_of_2_ints") (param $a i32) (param $b i32) (result i32)
    (i32.add (local.get $a) (local.get $b))))
