;; Grow. Asks for memory until it is refused.
(module
  (memory (export "memory") 1)
  ;; Grows by one MiB at a time and counts the pages it got; an answer of -1 is the refusal.
  (func $grow_politely (export "grow_politely") (result i32)
    (local $pages i32)
    (block $refused
      (loop $again
        (br_if $refused (i32.eq (memory.grow (i32.const 16)) (i32.const -1)))
        (local.set $pages (i32.add (local.get $pages) (i32.const 16)))
        (br $again)))
    (local.get $pages))
  ;; The same, and then gives up as most allocators do.
  (func $grow (export "grow")
    (drop (call $grow_politely))
    (unreachable))
  (func (export "grow_by") (param $pages i32) (result i32)
    (memory.grow (local.get $pages))))
