/** Builds HTML in which every value is escaped, unless it is HTML itself. */

export class Html {
  readonly #text: string

  constructor (text: string) {
    this.#text = text
  }

  toString (): string {
    return this.#text
  }
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;'
}

/** A template tag. The members of a list are concatenated. */
export function html (strings: TemplateStringsArray, ...values: ReadonlyArray<string | Html | readonly Html[]>): Html {
  return new Html(String.raw({ raw: strings }, ...values.map(toHtml)))
}

function toHtml (value: string | Html | readonly Html[]): string {
  if (typeof value === 'string') return value.replace(/[&<>"']/g, character => ENTITIES[character]!)
  return value instanceof Html ? String(value) : value.join('')
}
