const escapes: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

/** Text as it may stand in HTML, in an attribute too. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => escapes[character] ?? character);
}

/** An entry of a folder. */
export interface IndexEntry {
  readonly name: string;
  readonly folder: boolean;
}

/** A page that lists a folder. Every name is escaped, and every link is relative. */
export function indexPage(names: readonly string[], entries: readonly IndexEntry[]): string {
  const title = escapeHtml(`/${names.map((name) => `${name}/`).join("")}`);
  const sorted = [...entries].sort((a, b) => Number(b.folder) - Number(a.folder) || (a.name < b.name ? -1 : 1));
  const items = sorted.map(({ name, folder }) => {
    const slash = folder ? "/" : "";
    return `<li><a href="./${encodeURIComponent(name)}${slash}">${escapeHtml(name)}${slash}</a></li>`;
  });
  if (names.length > 0) items.unshift('<li><a href="../">../</a></li>');
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${title}</title></head>
<body><h1>${title}</h1><ul>
${items.join("\n")}
</ul></body></html>
`;
}
