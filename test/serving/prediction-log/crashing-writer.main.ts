/** Writes predictions until it is killed, and tells its parent how many are committed. */
import { openLog, prediction, SCHEMA } from './log-fixture.ts';

const [folder = ''] = process.argv.slice(2);
const { log } = openLog(folder);
const elec2 = log.endpoint(SCHEMA);
let next = 0;
for (;;) {
  for (let i = 0; i < 700; i += 1) elec2.add(prediction(next++));
  const added = next;
  const committed = log.flush();
  // These are under way when the signal comes.
  for (let i = 0; i < 300; i += 1) elec2.add(prediction(next++));
  if (await committed) process.send?.(added);
}
