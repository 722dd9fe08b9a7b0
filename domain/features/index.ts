/** Feature views: what their rows are, wherever they are kept. */
export { isStorableKey, writableRows } from './online-row.ts';
export type { OnlineRow, OnlineWrite } from './online-row.ts';
