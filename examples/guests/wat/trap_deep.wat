;; Trap deep. Calls `middle`, which calls `inner`, which is unreachable; the backtrace names all three.
(module
  (func $outer (export "outer") (param $depth i32) (result i32)
    (i32.add (call $middle (local.get $depth)) (i32.const 1)))
  (func $middle (param $depth i32) (result i32)
    (i32.add (call $inner (local.get $depth)) (i32.const 1)))
  (func $inner (param $depth i32) (result i32)
    (unreachable)))
