// What this project promises under bad input, faults, load, in a process's life and under attack: one row each, with the
// figure asked. `docs/reliability.md` is made from this table and from what the tests measured (`npm run reliability`).

/** Where a row is shown. */
export const COMMANDS = {
  PR: 'npm test',
  N: 'npm run test:long',
}

/** The sections of the page, by the letter that their rows begin with. */
export const SECTIONS = {
  R: { title: 'Bad input', what: 'Input' },
  F: { title: 'Faults', what: 'Fault' },
  L: { title: 'Load and leaks', what: 'Load' },
  P: { title: 'Life of a process', what: 'Case' },
  S: { title: 'Security', what: 'Attack' },
}

/**
 * A row: what happens, what is promised then, and the figure that is asked. `tier` says where it is shown: `PR` in every
 * test run, `N` in the long one, `H` by hand before a release, with the command in `byHand`. `reached` says what was
 * reached, and why not more, where that is less than what was asked.
 *
 * @typedef {{ id: string, what: string, promise: string, asked: string, tier: string, byHand?: string, reached?: string }} Row
 */

/** @type {Row[]} */
export const promises = [
  {
    id: 'R1',
    what: 'Any bytes at the frame decoder, the handshake of both roles and the check of payloads, in chunks of any size',
    promise: 'No panic, no leak, no growth',
    asked:
      '1,000,000 runs of each without a crash, memory grows by 16 MiB at most; before a release 10 minutes of each',
    tier: 'PR, H',
    byHand: 'npm run fuzz -- frames 600',
  },
  {
    id: 'R2',
    what: 'Mutated frames after a valid proof, over TCP, UNIX sockets and TLS',
    promise: 'Who sends them is closed, the controller and all others live on',
    asked:
      '10,000 frames in each test run, 100,000 in the long one: 0 crashes, 0 failed calls of an innocent pair, its p99 at most twice that beside whole frames (or 20 ms), no descriptor left, at most 16 MiB more memory',
    tier: 'PR, N',
  },
  {
    id: 'R3',
    what: 'A length of 0, of one byte over the limit, of 2 GiB and of 4 GiB, before and after the proof, from a node and from a hostile controller',
    promise: 'The connection is closed, with ERR_FRAME_TOO_LARGE where the length is too large',
    asked: 'Within 100 ms, at most 1 MiB more memory',
    tier: 'PR',
  },
  {
    id: 'R4',
    what: 'The largest length that is allowed, then silence, on 1,000 connections',
    promise: 'Memory grows with what has come, not with what was announced; who makes no progress is closed',
    asked: 'At most 32 MiB more memory, all closed within 11 s',
    tier: 'N',
    reached:
      'Closed at the first look after 10 s, and the controller looks once a second: 11.03 s on a machine where others worked, too.',
  },
  {
    id: 'R5',
    what: 'Connections that are silent and such that send a byte a second instead of a handshake',
    promise: 'They are closed at the deadline of the handshake; at most 256 wait for one, then the oldest has to go',
    asked:
      '200 in each test run, 2,000 in the long one: a node that comes meanwhile has its first answer within 100 ms',
    tier: 'PR, N',
    reached:
      'While they wait. A node that comes in the very moment in which 2,000 connect may be pushed out with them, and needed 549 ms and some attempts once.',
  },
  {
    id: 'R6',
    what: 'Payloads that announce more than they hold, nest without end, have a million keys or 64 MiB of text',
    promise: 'The core rejects what would harm before JavaScript sees a byte; the sender is told ERR_PAYLOAD_REJECTED',
    asked: 'The receiver has at most twice the input and 8 MiB more memory, its event loop is never held up for 50 ms',
    tier: 'PR',
    reached:
      'What holds all that it announces is no bomb and is decoded: 64 MiB of text hold the event loop up for 0.1 s, a map of 1,000,000 keys (9 MiB) for 2.3 s and 211 MiB. A plain loop that makes such an object takes half of that; `maxPayload` is the bound.',
  },
  {
    id: 'R7',
    what: 'HTTP, TLS at a plain port, plain frames at a TLS port, SSH, 64 KiB of zeros and of ones',
    promise: 'The connection is closed; nothing of it is run or answered, but for the alert that TLS knows',
    asked: 'Within 100 ms',
    tier: 'PR',
    reached:
      'Closed without a line in the log: the core has no way to the logger of the Global. So nobody can fill the log by connecting, either.',
  },
  {
    id: 'R8',
    what: 'Names of nodes and callbacks that are empty, too long, `__proto__`, `then`, with line breaks, escape sequences, lone surrogates, `../x`, composed and decomposed',
    promise: 'Refused with ERR_INVALID_NAME, or taken letter for letter',
    asked: 'No control character in any log',
    tier: 'PR',
  },
  {
    id: 'R9',
    what: 'Frames out of order: a request before the proof, a second handshake, answers to nobody and from nodes that were not asked',
    promise: 'The first two close the connection; the others are dropped and counted, and reach no caller',
    asked: 'Within 100 ms; every stray answer is counted',
    tier: 'PR',
  },
  {
    id: 'R10',
    what: 'Floods of one connection: pings, empty frames, registrations, calls that are opened and cancelled',
    promise: 'Who sends them is closed with ERR_ENHANCE_YOUR_CALM, or served without harm to others',
    asked:
      'At most 50 % of one core, p99 of an innocent pair at most three times that of a calm moment (or 20 ms), at most 16 MiB more memory over 10 s',
    tier: 'N',
  },
  {
    id: 'F1',
    what: 'A node is killed with 100 calls of three callers under way, and broadcasts, streams both ways and tasks',
    promise: 'Each ends once, with ERR_NODE_LOST',
    asked: 'The last one within 250 ms',
    tier: 'PR',
  },
  {
    id: 'F2',
    what: 'The controller is killed while all kinds of calls are under way, and started again',
    promise: 'What is under way ends with ERR_CONNECTION_LOST; nodes come back by themselves, calls work again',
    asked:
      'Ended within 500 ms; no attempt to reconnect before 50 ms; 10 nodes are back within 2 s, 1,000 nodes within 10 s',
    tier: 'PR, N',
  },
  {
    id: 'F3',
    what: 'A node is frozen with 50 calls without a timeout under way, and broadcasts, streams both ways and tasks',
    promise: 'Without a heartbeat it is given up: what is under way ends, its name is free again',
    asked: 'Within 16 s with the default heartbeat; in each test run within 250 ms of a short one',
    tier: 'PR, N',
  },
  {
    id: 'F4',
    what: 'The frozen node goes on',
    promise: 'It learns that it was given up, comes back, and its late answers reach nobody',
    asked: 'Back within 3 s, 0 answers of another call',
    tier: 'PR',
  },
  {
    id: 'F5',
    what: 'The controller is frozen, and goes on',
    promise: 'Nodes find out, end what is under way, and come back',
    asked: 'Within 16 s with the default heartbeat; back within 3 s',
    tier: 'N',
  },
  {
    id: 'F6',
    what: 'A network that loses everything, resets, cuts into single bytes, adds 200 ms, passes 64 KiB a second, or ends at any of the first 201 bytes',
    promise: 'Connecting and calls end with a value or a typed error, nothing hangs',
    asked: 'Within 6 s at each offset: every tenth in each test run, all in the long one',
    tier: 'PR, N',
  },
  {
    id: 'F7',
    what: 'JavaScript of a node is busy for a long time: 3 s in each test run, 30 s in the long one',
    promise:
      'Its native thread answers heartbeats: it stays connected, calls end by their timeout, the rest is answered afterwards',
    asked: '0 disconnects',
    tier: 'PR, N',
  },
  {
    id: 'F8',
    what: 'A frozen node is sent much: 256 MiB in each test run, 2 GiB in the long one',
    promise: 'Its senders are held back; it is given up at 32 MiB, or after 10 s without progress',
    asked:
      'The controller has at most 48 MiB more memory; an innocent pair has 0 failures and at most twice its p99 (or 20 ms)',
    tier: 'PR, N',
  },
  {
    id: 'F9',
    what: 'A node that takes one call a second is sent 10,000 a second',
    promise: 'What waits at it is bounded, then its callers are held back, then calls end with ERR_OVERLOADED',
    asked: 'The node has at most 64 MiB more memory',
    tier: 'PR',
  },
  {
    id: 'F10',
    what: 'Payloads of 8 to 64 MiB beside small calls and heartbeats of the same connection',
    promise: 'Small calls overtake, a slow network is no silence',
    asked: 'p99 of small calls at most 50 ms; no loss of a node at 1 MB/s',
    tier: 'PR, N',
    reached:
      '8 MiB in each test run, 64 MiB in the long one. Where the machine has to find fresh memory for each payload of 64 MiB, which this virtual one does now and then, p99 beside them was up to 165 ms.',
  },
  {
    id: 'F11',
    what: 'A second node of the same name',
    promise:
      'It is refused with ERR_NAME_IN_USE and the first keeps working, unless the first does not answer any more',
    asked: 'Refused within 100 ms; given to the newcomer within 2.5 s',
    tier: 'PR',
  },
  {
    id: 'F12',
    what: 'Answers that come late, twice, or in a race with a cancel',
    promise: 'Each call is settled once, the rest is counted',
    asked: '100,000 races of the state machine, 10,000 live: 0 settled twice or never',
    tier: 'PR',
  },
  {
    id: 'F13',
    what: 'A node is stopped with 20 calls under way that take 1 s, and broadcasts, streams and tasks',
    promise:
      'It takes nothing new, finishes what runs and leaves; at the end of its patience the rest gets typed errors',
    asked: '0 lost, done within 1.5 s',
    tier: 'PR',
  },
  {
    id: 'F14',
    what: 'The controller is stopped with 20 calls under way that take 1 s',
    promise: 'What runs is finished, its socket file is removed',
    asked: '0 lost, done within 1.5 s',
    tier: 'PR',
  },
  {
    id: 'F15',
    what: 'The controller is started anew 50 times in 100 s under 200 calls a second',
    promise: 'Every call ends, and calls work after each start',
    asked: '0 calls left open, 0 ids left, memory of the nodes does not grow',
    tier: 'N',
  },
  {
    id: 'F16',
    what: 'Tasks: the controller is killed, the owner is killed, the clock jumps an hour, moments in 30 days, bad intervals, too many',
    promise:
      'Intervals follow the monotonic clock, moments the clock of the wall; a task outlives its owner and is listed; bad values and too many are refused',
    asked: 'Drift at most 20 ms a tick (p99, interval of 1 s); nothing fires that is not due; 10,000 tasks a node',
    tier: 'PR, N',
  },
  {
    id: 'F17',
    what: 'A callback throws or returns strings, nothing, functions, revoked proxies, errors with throwing getters, 10 MB of message',
    promise: 'Its caller gets a typed error with what could be carried; nothing hangs, no node dies',
    asked: 'Each within 200 ms; messages are cut at 64 KiB, stacks at 16 KiB',
    tier: 'PR',
  },
  {
    id: 'F18',
    what: 'An argument that cannot travel',
    promise: 'An error at the caller, before anything is sent',
    asked: '0 bytes on the wire',
    tier: 'PR',
  },
  {
    id: 'F19',
    what: 'No descriptors, a full disk, a read-only folder',
    promise: 'A typed error at the start, or no new connections until there is room again',
    asked: 'At most 5 % of one core meanwhile; connections within 2 s when there is room',
    tier: 'N',
  },
  {
    id: 'L1',
    what: '10,000 idle TCP connections beside 50 active pairs',
    promise: 'An idle connection costs little, and active ones do not feel it',
    asked:
      'At most 32 KiB of the controller for each; all connected within 30 s; p99 of the active at most twice that without them; heartbeats at most 5 % of one core',
    tier: 'N',
    reached:
      'On a virtual machine where a send over loopback takes 15 to 20 µs, heartbeats took 5.5 to 6 % of a core, three quarters of it in the kernel.',
  },
  {
    id: 'L2',
    what: '1,000 nodes with 20 callbacks each come and go',
    promise: 'Changes are told, not everything anew',
    asked: 'At most 100 MB in all; the last one joins within 200 ms',
    tier: 'N',
  },
  {
    id: 'L3',
    what: '500 mixed calls a second for a long time: all kinds, with errors, timeouts and reconnects',
    promise: 'Nothing grows',
    asked:
      'In each test run 60 s: at most 8 MiB more memory than after 20 s. Before a release 10 minutes: at most 0.5 MiB a minute, heap 0.1 MiB a minute; descriptors, threads and handles constant, no call left',
    tier: 'PR, H',
    byHand: 'npm run soak',
  },
  {
    id: 'L4',
    what: 'A million calls, a million timeouts, a million cancels',
    promise: 'Everything is given back',
    asked: 'Heap, live calls and live buffers as at the start',
    tier: 'N',
  },
  {
    id: 'L5',
    what: '100 MB a second of messages of 64 KiB arrive',
    promise: 'The event loop stays responsive',
    asked:
      'p99 of its delay at most 10 ms over that of an idle one; a slice of reading at most 4 ms; no native call over 1 ms (p99.9)',
    tier: 'PR',
  },
  {
    id: 'L6',
    what: 'A controller with its node is started and stopped again and again in one process: 20 times in each test run',
    promise: 'Everything is given back',
    asked: 'Threads and descriptors as at the start, at most 8 MiB more memory',
    tier: 'PR',
  },
  {
    id: 'P1',
    what: 'A program connects, calls once, stops and ends',
    promise: 'The process ends by itself',
    asked: 'Exit code 0 within 300 ms of the stop, no handle left',
    tier: 'PR',
  },
  {
    id: 'P2',
    what: 'The same without a stop, with `unref()` and without',
    promise: 'With it the process ends by itself, without it stays',
    asked: 'Exit code 0 within 1 s',
    tier: 'PR',
  },
  {
    id: 'P3',
    what: '`join()`, then SIGTERM or SIGINT, then another',
    promise: 'The first one drains, the second one does not',
    asked: 'Exit code 143 or 130; within 100 ms of the second',
    tier: 'PR',
  },
  {
    id: 'P4',
    what: '`process.exit()` or an uncaught error with 100 calls under way and others coming and going',
    promise: 'The exit code is the own one, never that of a crash',
    asked: '20 of 20 in each test run, 200 of 200 in the long one',
    tier: 'PR, N',
  },
  {
    id: 'P5',
    what: '`stop()` twice, while connecting, inside a callback; a call afterwards',
    promise: 'Stopping again does nothing, the call ends with ERR_STOPPED',
    asked: 'Each ends, with its code',
    tier: 'PR',
  },
  {
    id: 'P6',
    what: 'Worker threads load the addon, call, and are terminated in the middle',
    promise: 'The main thread lives, also when no other than workers use the addon',
    asked: '0 crashes of 5 threads twice in each test run, of 20 threads ten times in the long one',
    tier: 'PR, N',
  },
  {
    id: 'P7',
    what: 'A panic in each kind of native task',
    promise: 'Its connection fails, typed; the process lives; it is counted',
    asked: '0 processes lost',
    tier: 'PR',
  },
  {
    id: 'P8',
    what: 'Listeners of events that throw, promises that callbacks leave rejected',
    promise: "They reach the caller or the user's handler, none is swallowed",
    asked: 'Each is seen once',
    tier: 'PR',
  },
  {
    id: 'P9',
    what: 'Two Globals in one process, ES modules and CommonJS, bundled, Node 20, 22 and 24',
    promise: 'It works, or is refused with a typed error',
    asked: 'Each does',
    tier: 'PR, N',
  },
  {
    id: 'P10',
    what: 'A Global without `join()`',
    promise: 'It installs no signal handler',
    asked: '0 listeners more',
    tier: 'PR',
  },
  {
    id: 'S1',
    what: 'A controller at `localhost`',
    promise: 'It listens on loopback only',
    asked: '0 sockets that listen on another address',
    tier: 'PR',
  },
  {
    id: 'S2',
    what: 'Another user of the machine, loopback TCP, without the cookie',
    promise: 'Refused with ERR_UNAUTHORIZED before any name is told',
    asked: '0 bytes about nodes and callbacks',
    tier: 'PR',
  },
  {
    id: 'S3',
    what: 'Another user at a UNIX socket: folders of others, symbolic links, folders and sockets that all may write',
    promise: 'Controller and node refuse, with the reason',
    asked: 'Folder 0700, socket 0600, both ends check the user of the other',
    tier: 'PR',
  },
  {
    id: 'S4',
    what: 'Somebody listens first where nodes look for their controller',
    promise: 'Both sides prove that they know the secret, and it is never sent',
    asked: '0 bytes that help; a recorded handshake is refused when it is played again',
    tier: 'PR',
  },
  {
    id: 'S5',
    what: 'A socket file that is stale, in use, a plain file or a symbolic link; two controllers at once',
    promise: 'A stale one is taken over, one in use gives ERR_ADDRESS_IN_USE, others are never deleted',
    asked: 'Of two that start at once exactly one wins, 50 of 50 times',
    tier: 'PR',
  },
  {
    id: 'S6',
    what: 'Socket paths of 107, 108 and 200 bytes, also of characters of several bytes',
    promise: 'It works, or a typed error names the limit',
    asked: 'Each does',
    tier: 'PR',
  },
  {
    id: 'S7',
    what: 'A node speaks as another, answers for another, cancels tasks of another, stops others',
    promise: 'The controller knows who speaks by the connection; the others are refused',
    asked: '4 identities × 8 operations, each as written',
    tier: 'PR',
  },
  {
    id: 'S8',
    what: 'Functions sent by the same user, by a node with a token, over a network, and replayed',
    promise: 'ERR_TRANSFER_NOT_ALLOWED before the text is parsed; each is in the audit',
    asked: 'Each ends with its code',
    tier: 'PR',
  },
  {
    id: 'S9',
    what: 'Sent functions that loop, take all memory, fork, are 10 MB long, or are no function',
    promise: 'Isolated ones are ended at their timeout; what is no function is refused at both ends',
    asked: 'Ended within 250 ms of the timeout, the node has at most 64 MiB more memory',
    tier: 'PR',
  },
  {
    id: 'S10',
    what: 'TLS with certificates that are self-signed, expired, revoked, of another host or authority, missing or of another node, and old versions',
    promise: 'Refused; nothing goes unchecked unless `dangerouslySkipVerify` says so',
    asked: 'All of them',
    tier: 'PR',
  },
  {
    id: 'S11',
    what: 'Tokens that are wrong, a part, empty, 1 MB long, no text',
    promise: 'Compared in constant time; wrong ones wait and are counted by address',
    asked: 'Refused after 100 ms or more, at most 10 a second',
    tier: 'PR',
  },
  {
    id: 'S12',
    what: 'A token over plain TCP off loopback',
    promise: 'Refused at the start, unless `insecureTransport` says so',
    asked: 'A typed error before anything listens',
    tier: 'PR',
  },
  {
    id: 'S13',
    what: 'Logs, errors, `util.inspect(g)`, stats and arguments of processes are searched for secrets',
    promise: 'None is shown',
    asked: '0 hits',
    tier: 'PR',
  },
  {
    id: 'S14',
    what: '`await g.call`, `JSON.stringify(g.call)`, `g.call.__proto__`, `g.call[Symbol.iterator]`',
    promise: 'None is a remote call',
    asked: '0 frames on the wire',
    tier: 'PR',
  },
  {
    id: 'S15',
    what: 'Callbacks named `toString` and `hasOwnProperty`, a node named `__proto__`',
    promise: 'Only what was registered is found; results of a broadcast have no prototype',
    asked: '0 properties more in `Object.prototype`',
    tier: 'PR',
  },
  {
    id: 'S16',
    what: 'Remote errors that claim names and codes of ours, or hold escape sequences',
    promise: 'They become RemoteCallError with plain data; no class is looked up by a remote name',
    asked: 'Each does',
    tier: 'PR',
  },
  {
    id: 'S17',
    what: 'Known holes in dependencies, install scripts',
    promise: 'None',
    asked: '0 of high severity',
    tier: 'N',
  },
]
