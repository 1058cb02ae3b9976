;; Vectors. Exports whose v128 has no JSON form, with a plain one beside them.
(module
  (func (export "takes_v128") (param $a v128) (result i32)
    (i32x4.extract_lane 0 (local.get $a)))
  (func (export "returns_v128") (param $a i32) (result v128)
    (i32x4.splat (local.get $a)))
  ;; Uses v128 inside only.
  (func (export "add_lanes") (param $a i32) (param $b i32) (result i32)
    (i32x4.extract_lane 3
      (i32x4.add (i32x4.splat (local.get $a)) (i32x4.splat (local.get $b))))))
