/**
 * A TCP proxy inside the kernel: bytes go from socket to socket without passing through user space.
 *
 *   sendfile-proxy.ts [PORT HOST TARGET-PORT]     without arguments it proxies to an echo server of its own, once
 */
import net from "node:net";
import process from "node:process";
import { proxy } from "outcore/sendfile";

const [listenPort = "0", host = "127.0.0.1", targetPort] = process.argv.slice(2);

/** Paused from the beginning, so that the runtime reads nothing of what the kernel is to move. */
function connectTo(port: number): net.Socket {
  const socket = new net.Socket({ allowHalfOpen: true });
  socket.pause();
  socket.on("error", () => undefined);
  return socket.connect(port, host);
}

function startProxy(port: number): net.Server {
  return net.createServer({ pauseOnConnect: true, allowHalfOpen: true }, (client) => {
    client.on("error", () => undefined);
    proxy(client, connectTo(port), { timeout: 60_000 })
      .then(({ sent, received }) => console.log(`${sent} bytes there, ${received} back`))
      .catch((error: Error) => console.log(`ended: ${error.message}`));
  });
}

if (targetPort !== undefined) {
  startProxy(Number(targetPort)).listen(Number(listenPort), "127.0.0.1");
} else {
  const echo = net.createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
  echo.listen(0, "127.0.0.1", () => {
    const front = startProxy((echo.address() as net.AddressInfo).port);
    front.listen(Number(listenPort), "127.0.0.1", () => {
      const client = net.connect((front.address() as net.AddressInfo).port, "127.0.0.1");
      let got = 0;
      client.on("data", (chunk: Uint8Array) => {
        got += chunk.length;
      });
      client.on("close", () => {
        console.log(`the client got ${got} bytes back`);
        front.close();
        echo.close();
      });
      client.end(new Uint8Array(1_000_000).fill(7));
    });
  });
}
