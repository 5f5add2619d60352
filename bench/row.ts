/** One line of the table that `make bench` prints. */
export interface Row {
  /** What was measured, as in docs/performance.md. */
  what: string
  /** The median of all rounds. */
  measured: number
  /** The unit of `measured` and `yardstick`: requests/s, ms, kB, s, … */
  unit: string
  /** The median of the yardstick in the same run, if there is one. */
  yardstick?: number
  /** The figure that the target applies to: the ratio to the yardstick, or the measured value itself. */
  ratio: number
  /** The smallest and the largest ratio of all rounds. */
  spread: [min: number, max: number]
  /** Such as '≥ 1.0'. Left out for a row that other rows are compared with. */
  target?: string
  isReached: boolean
  /** The yardstick varied so much between the rounds that it says nothing. Such a row is never reached. */
  hasFallen?: boolean
  /** What else was seen, printed below the table. */
  note?: string
}

/** Each file of `bench/` exports a function that measures some rows. With `isQuick` it takes a few seconds and only checks that it works. */
export type Measure = (how: { isQuick: boolean }) => Promise<Row[]>
