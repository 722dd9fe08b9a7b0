/** Guarantee: only a connection that is turned away again and again is made to wait, and only while that is too dear. */
import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { afterEach, describe, it } from 'mocha';
import { BackPressure, STREAK } from '../../../serving/admission/back-pressure.ts';
import { rejection } from '../../../serving/admission/rejection.ts';
import { eventually } from '../gateway-fixture.ts';

const REJECTION = rejection('level', 1);

/** What back-pressure touches of a response. */
class Answer {
  readonly socket: object;
  destroyed = false;
  status = 0;

  constructor(socket: object) {
    this.socket = socket;
  }

  writeHead(status: number): void {
    this.status = status;
  }

  end(): void {}

  get response(): ServerResponse {
    return this as unknown as ServerResponse;
  }
}

describe('admission: back-pressure', () => {
  const admission = { rejectShare: 0.5 };
  let now = 0;
  let pressure = new BackPressure(admission, () => now);

  const reject = (socket: object): Answer => {
    const answer = new Answer(socket);
    pressure.reject(answer.response, REJECTION);
    return answer;
  };
  afterEach(() => {
    pressure.close();
    admission.rejectShare = 0.5;
    now = 0;
    pressure = new BackPressure(admission, () => now);
  });

  it('holds the answer of a connection with nothing but rejections, and sends it after a while', async () => {
    const socket = {};
    for (let i = 1; i < STREAK; i += 1) assert.equal(reject(socket).status, 429);
    const held = reject(socket);
    assert.equal(held.status, 0);
    assert.equal(reject({}).status, 429);
    now = 100;
    await eventually(() => held.status === 429, 'the held answer is sent');
  });

  it('leaves a connection alone that has been admitted in between', () => {
    const socket = {};
    for (let i = 1; i < 4 * STREAK; i += 1) {
      assert.equal(reject(socket).status, 429);
      if (i % (STREAK - 1) === 0) pressure.admitted(new Answer(socket).response);
    }
  });

  it('holds nothing while rejecting is cheap, and goes on below the threshold until it is well below', () => {
    admission.rejectShare = 0.25;
    const socket = {};
    for (let i = 0; i < 2 * STREAK; i += 1) assert.equal(reject(socket).status, 429);
    admission.rejectShare = 0.31;
    for (let i = 0; i < 2 * STREAK; i += 1) reject(socket);
    admission.rejectShare = 0.25;
    assert.equal(reject(socket).status, 0);
    admission.rejectShare = 0.19;
    assert.equal(reject(socket).status, 429);
  });

  it('sends everything that it holds when it is closed, but not to who has gone', () => {
    const socket = {};
    for (let i = 1; i < STREAK; i += 1) reject(socket);
    const [stays, gone] = [reject(socket), reject(socket)];
    gone.destroyed = true;
    pressure.close();
    assert.deepEqual([stays.status, gone.status, pressure.held], [429, 0, 0]);
  });
});
