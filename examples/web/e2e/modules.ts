// The modules that the browser tests drop: text as a person writes it, and the bytes of one as a compiler does.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { guests } from './server';

/** A guest that was built from Rust. */
export function guest(name: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(join(guests(), name)));
}

/** The same program in other bytes: a custom section comes behind it. */
export function inOtherBytes(wasm: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([...wasm, 0x00, 0x05, 0x04, ...Buffer.from('none')]);
}

export const SUM = `
(module
  (func (export "sum") (param $a i32) (param $b i32) (result i32)
    (i32.add (local.get $a) (local.get $b)))
  (func (export "double_wide") (param $n i64) (result i64)
    (i64.add (local.get $n) (local.get $n)))
  (func (export "half") (param $x f64) (result f64)
    (f64.mul (local.get $x) (f64.const 0.5))))`;

export const TRAP = `
(module
  (func $inner (param i32) (result i32) (unreachable))
  (func $middle (param i32) (result i32) (i32.add (call $inner (local.get 0)) (i32.const 1)))
  (func $outer (export "outer") (param i32) (result i32) (i32.add (call $middle (local.get 0)) (i32.const 1))))`;

export const SPIN = `
(module
  (func (export "spin") (loop (br 0))))`;

/** Grows its memory by a page until it gets no more, and says how many it has. */
export const GROW = `
(module
  (memory 1)
  (func (export "grow") (result i32)
    (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (memory.size)))`;

/** A command: says hello on its standard output, complains on its standard error, and exits with 3. */
export const COMMAND = `
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\20\\00\\00\\00\\06\\00\\00\\00\\30\\00\\00\\00\\05\\00\\00\\00")
  (data (i32.const 32) "hello\\n")
  (data (i32.const 48) "oops\\n")
  (func (export "_start")
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)))
    (drop (call $write (i32.const 2) (i32.const 8) (i32.const 1) (i32.const 64)))
    (call $exit (i32.const 3))))`;

/** `(module (func (export "answer") (result i32) (i32.const 42)))`, compiled. */
export const ANSWER = Uint8Array.from([
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00], // magic, version
  ...[0x01, 0x05, 0x01, 0x60, 0x00, 0x01, 0x7f], // types: () -> i32
  ...[0x03, 0x02, 0x01, 0x00], // functions: one, of type 0
  ...[0x07, 0x0a, 0x01, 0x06, 0x61, 0x6e, 0x73, 0x77, 0x65, 0x72, 0x00, 0x00], // exports: "answer"
  ...[0x0a, 0x06, 0x01, 0x04, 0x00, 0x41, 0x2a, 0x0b], // code: i32.const 42
]);

/** A component whose one function takes a value of nearly every type, and adds up what needs no allocation. */
export const COUNT = `
(component
  (core module $m
    (memory (export "memory") 1)
    (global $free (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
      (global.set $free (i32.add (local.get $at) (local.get 3)))
      (local.get $at))
    ;; line: id i64, name ptr len, paid i32; tags ptr len; speed i32; flags i32; note disc ptr len
    (func (export "order")
      (param $id i64) (param $name i32) (param $name_len i32) (param $paid i32)
      (param $tags i32) (param $tags_len i32) (param $speed i32) (param $extras i32)
      (param $note_set i32) (param $note i32) (param $note_len i32)
      (result i64)
      (i64.add (local.get $id) (i64.extend_i32_u
        (i32.add (local.get $tags_len) (i32.add (local.get $speed) (local.get $extras)))))))
  (core instance $i (instantiate $m))
  (type $order' (record (field "id" u64) (field "name" string) (field "paid" bool)))
  (import "order" (type $order (eq $order')))
  (type $speed' (enum "slow" "fast"))
  (import "speed" (type $speed (eq $speed')))
  (type $extras' (flags "gift" "insured"))
  (import "extras" (type $extras (eq $extras')))
  (func (export "count") (param "order" $order) (param "tags" (list string)) (param "speed" $speed)
    (param "extras" $extras) (param "note" (option string)) (result u64)
    (canon lift (core func $i "order") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
`;

export const NEEDS_IMPORT = `
(module
  (import "env" "missing" (func $missing (result i32)))
  (func (export "run") (result i32) (call $missing)))`;

/** Imports from as many modules, and as many functions from one of them. */
export function manyImports(modules: number, functions: number): string {
  const one = (from: string, name: string) => `(import "${from}" "${name}" (func))`;
  const names = Array.from({ length: modules }, (_, at) => one(`module_${at}`, 'f'));
  const items = Array.from({ length: functions - 1 }, (_, at) => one('module_0', `item_${at}`));
  return `(module ${[...names, ...items].join('\n')} (func (export "run")))`;
}

/** Names as a stranger may choose them: without an end, without a letter, with what an address and a page could misread. */
export const LONG_NAMES = `
(module
  (func (export "${'averylongname_'.repeat(40)}") (result i32) (i32.const 1))
  (func (export "日本 <b>ü</b>") (result i32) (i32.const 2))
  (func (export "") (result i32) (i32.const 3))
  (func (export "a/b?c#d%2F") (result i32) (i32.const 4))
  (func (export "..") (result i32) (i32.const 5)))`;

export function manyExports(count: number): string {
  const one = (at: number) =>
    `(func (export "function_${at}") (param i64 f64) (result i32) (i32.const ${at}))`;
  return `(module ${Array.from({ length: count }, (_, at) => one(at)).join('\n')})`;
}
