// The file names of modules added from this browser. The server knows a module by the digest of its bytes; people
// know it by the file it came from.
const KEY = 'runner.labels';
// A few hundred bytes each: far below what a browser keeps for a page.
const LABELS_MAX = 500;

export function loadLabels(): Record<string, string> {
  try {
    const saved: unknown = JSON.parse(localStorage.getItem(KEY) ?? '{}');
    if (typeof saved !== 'object' || saved === null) return {};
    return Object.fromEntries(Object.entries(saved).filter(([, label]) => typeof label === 'string'));
  } catch {
    return {};
  }
}

export function saveLabels(labels: Record<string, string>): void {
  localStorage.setItem(KEY, JSON.stringify(Object.fromEntries(Object.entries(labels).slice(-LABELS_MAX))));
}
