// The WebSocket as noVNC wants it, with what noVNC does not tell: bytes, the proxy's notes, why it was closed.
//
// Binary frames are RFB. A text frame is a note of the proxy beside the picture, e.g. {"ms": 34} or {"watch": true}.
// noVNC checks for exactly these property names on its "raw channel".

export class Channel {
  binaryType = "arraybuffer";
  onopen = null;
  onmessage = null;
  onclose = null;
  onerror = null;

  constructor(address, { note, closed }) {
    this.received = 0;
    this.sent = 0;
    this.messages = 0;
    this.opened = false;
    this.heard = Date.now();
    this.closed = closed;
    this.socket = new WebSocket(address);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = (event) => {
      this.opened = true;
      this.onopen?.(event);
    };
    this.socket.onmessage = (event) => {
      this.heard = Date.now();
      if (typeof event.data === "string") {
        note(JSON.parse(event.data));
        return;
      }
      this.received += event.data.byteLength;
      this.messages += 1;
      this.onmessage?.(event);
    };
    this.socket.onerror = (event) => this.onerror?.(event);
    this.socket.onclose = (event) => {
      // First ours, while the last picture still exists; noVNC clears it.
      closed(event);
      this.onclose?.(event);
    };
  }

  get readyState() {
    return this.socket.readyState;
  }

  get protocol() {
    return this.socket.protocol;
  }

  send(data) {
    this.sent += data.byteLength;
    this.socket.send(data);
  }

  close() {
    this.socket.close(1000);
  }

  // The line is dead and nobody will tell: be closed now, whatever the socket is still waiting for.
  drop() {
    const { socket } = this;
    socket.onopen = socket.onmessage = socket.onerror = socket.onclose = null;
    socket.close();
    const event = new CloseEvent("close", { code: 1006 });
    this.closed(event);
    this.onclose?.(event);
  }
}
