/**
 * Several gateway processes behind one port, on one machine.
 *
 * Promises, each held by a test: a process that ends is started again and takes nothing but its own connections with
 * it; a rolling restart (SIGHUP) fails no request; processes are added and taken away with the load; one scrape sees
 * all of them.
 *
 * The primary opens the port and gives the listening socket to its processes, which accept by themselves
 * (`cluster.SCHED_NONE`). Handing out accepted connections in turn (`SCHED_RR`) costs about 90 CPU-µs per connection in
 * the primary and 80 more in the process, and leaves a connection that is on its way to a killed process hanging with
 * nobody to close it (once per kill in two of three rounds); with the shared socket the primary takes no part in a
 * connection, and the kernel closes what belonged to a killed process. What the shared socket lacks is evenness (of 64
 * connections at once one process got 33 to 62);
 * turn-taking has the same lack as soon as a process is added, for nobody leaves the connection that he has. So
 * processes with too many connections ask some callers to connect again (`rebalance.ts`), and those land where it is
 * quiet. `bench/serving/processes/` has the comparison.
 *
 * To the control plane each process is a gateway of its own, `<gateway id>/<slot>`. A slot is the smallest number that
 * is free, so ids come back after a restart and the last good routes are found under them.
 */
export { joinPrimary } from './member-link.ts';
export { memberId, seedRoutes } from './seed-routes.ts';
