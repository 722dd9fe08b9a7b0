/**
 * Retries are a share of what is admitted at first try: when everything fails, callers that try again cannot multiply
 * the load. Counted over about the last ten seconds.
 */
const MEMORY = 0.99;
/** So that the only caller of a quiet gateway may retry. */
const FREE = 3;

export class RetryBudget {
  readonly #share: number;
  #admitted = 0;
  #retries = 0;

  constructor(share: number) {
    this.#share = share;
  }

  get allows(): boolean {
    return this.#retries + 1 <= FREE + this.#share * this.#admitted;
  }

  admitted(retry: boolean): void {
    if (retry) this.#retries += 1;
    else this.#admitted += 1;
  }

  /** Each 100 ms. */
  update(): void {
    this.#admitted *= MEMORY;
    this.#retries *= MEMORY;
  }
}
