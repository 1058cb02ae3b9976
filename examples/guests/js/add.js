// All that this guest does. What it imports beside, its engine brings: clocks, random bytes, standard output, outgoing HTTP.

export function add(a, b) {
    return a + b;
}
