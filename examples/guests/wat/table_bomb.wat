;; Table bomb. Asks for table elements until it is refused.
(module
  (table $table 1 funcref)
  (func $grow_politely (export "grow_politely") (result i32)
    (local $elements i32)
    (block $refused
      (loop $again
        (br_if $refused
          (i32.eq (table.grow $table (ref.null func) (i32.const 1000)) (i32.const -1)))
        (local.set $elements (i32.add (local.get $elements) (i32.const 1000)))
        (br $again)))
    (local.get $elements))
  (func $grow (export "grow")
    (drop (call $grow_politely))
    (unreachable)))
