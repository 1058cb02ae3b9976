;; Two memories. Grows both in turn; a limit has to count them together.
(module
  (memory $first (export "first") 1)
  (memory $second (export "second") 1)
  (func $grow_politely (export "grow_politely") (result i32)
    (local $pages i32)
    (block $refused
      (loop $again
        (br_if $refused (i32.eq (memory.grow $first (i32.const 16)) (i32.const -1)))
        (local.set $pages (i32.add (local.get $pages) (i32.const 16)))
        (br_if $refused (i32.eq (memory.grow $second (i32.const 16)) (i32.const -1)))
        (local.set $pages (i32.add (local.get $pages) (i32.const 16)))
        (br $again)))
    (local.get $pages))
  (func $grow (export "grow")
    (drop (call $grow_politely))
    (unreachable)))
