;; Max of two ints. The larger of two signed i32.
(module
  (func (export "max_of_2_ints") (param $a i32) (param $b i32) (result i32)
    (select
      (local.get $a)
      (local.get $b)
      (i32.gt_s (local.get $a) (local.get $b)))))
