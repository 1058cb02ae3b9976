// Tasks without the SDK: what `#[runner::task]` exports in Rust, written out, over a store of keys.

import { open } from 'runner:kv/store@0.1.0';

const text = { type: 'string' };
const described = [
    {
        name: 'visit',
        about: 'Counts a visit of a page, and says how many there were.',
        parameters: [{ name: 'page', schema: text }],
        result: { type: 'integer' },
    },
    { name: 'attempts', about: 'Says who asks.', parameters: [], result: text },
];

function visit(page) {
    if (page === '') {
        throw { code: 'no-page', message: 'a page has a name', retryable: false };
    }
    try {
        // As far as a number of JavaScript counts. (componentize-js 0.23 does not pass on the least s64.)
        const most = BigInt(Number.MAX_SAFE_INTEGER);
        return Number(open('default').increment(page, 1n, 0n, most, { tag: 'never' }));
    } catch (error) {
        const { tag } = error.payload;
        throw { code: `kv-${tag}`, message: `the store says ${tag}`, retryable: tag === 'unavailable' };
    }
}

function attempts(context) {
    return `${context.idempotencyKey ?? '-'}, attempt ${context.attempt}`;
}

export const tasks = {
    describe: () => JSON.stringify(described),
    run(task, values, context) {
        const [page] = JSON.parse(values);
        return JSON.stringify(task === 'visit' ? visit(page) : attempts(context));
    },
};
