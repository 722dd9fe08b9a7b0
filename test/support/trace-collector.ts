import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface CollectedSpan {
  readonly service: string;
  readonly name: string;
  readonly trace: string;
  readonly id: string;
}

export interface Collector {
  readonly url: string;
  /** The first span that fits; waits for the exporters, which send every few seconds. */
  find(fits: (span: CollectedSpan) => boolean): Promise<CollectedSpan>;
  close(): Promise<void>;
}

interface Export {
  readonly resourceSpans: readonly {
    readonly resource: {
      readonly attributes: readonly {
        readonly key: string;
        readonly value: { readonly stringValue?: string };
      }[];
    };
    readonly scopeSpans: readonly {
      readonly spans: readonly { readonly name: string; readonly traceId: string; readonly spanId: string }[];
    }[];
  }[];
}

const PATIENCE_MS = 20_000;

/** Receives spans as a collector does (OTLP over HTTP, JSON). */
export async function openCollector(): Promise<Collector> {
  const spans: CollectedSpan[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      for (const { resource, scopeSpans } of (JSON.parse(Buffer.concat(chunks).toString()) as Export)
        .resourceSpans) {
        const service =
          resource.attributes.find(({ key }) => key === 'service.name')?.value.stringValue ?? '';
        for (const { name, traceId, spanId } of scopeSpans.flatMap((scope) => scope.spans)) {
          spans.push({ service, name, trace: traceId, id: spanId });
        }
      }
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async find(fits) {
      const deadline = Date.now() + PATIENCE_MS;
      for (;;) {
        const found = spans.find(fits);
        if (found !== undefined) return found;
        if (Date.now() > deadline) {
          const names = [...new Set(spans.map(({ service, name }) => `${service} ${name}`))];
          throw new Error(`no such span among ${spans.length}: ${names.join(', ')}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
