;; Host calls. Calls two functions of the host in a loop, to measure what one call costs.
(module
  (import "bench" "noop" (func $noop))
  (import "bench" "add" (func $add (param i32 i32) (result i32)))
  ;; Adds 1 by the host, n times; returns n.
  (func (export "run") (param $n i32) (result i32)
    (local $sum i32)
    (block $done
      (loop $again
        (br_if $done (i32.eqz (local.get $n)))
        (local.set $sum (call $add (local.get $sum) (i32.const 1)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $again)))
    (local.get $sum))
  ;; Calls the host's function that does nothing, n times.
  (func (export "run_noop") (param $n i32)
    (block $done
      (loop $again
        (br_if $done (i32.eqz (local.get $n)))
        (call $noop)
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $again)))))
