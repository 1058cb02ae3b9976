// Lets the browser keep bytes as a file. By a link of the page's own: one to the server could carry no token.
export function keep(bytes: Blob, name: string): void {
  const address = URL.createObjectURL(bytes);
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  // The browser has begun by then.
  setTimeout(() => URL.revokeObjectURL(address), 0);
}
