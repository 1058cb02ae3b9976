;; Recurse. Calls itself for ever; the stack ends first.
(module
  (func $recurse (export "recurse") (param $depth i32) (result i32)
    ;; The addition keeps this from being a tail call.
    (i32.add (call $recurse (i32.add (local.get $depth) (i32.const 1))) (i32.const 1))))
