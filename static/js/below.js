// For panels that share one address: the addresses that a page's own scripts make get the panel's path in front.
//
// A classic script at the head of each page, before any of the page's own; it comes with data-root="/hmi--mixer--acme".
// What it doesn't see (location.href = "/x", a worker's requests) the web proxy sends to the right place by the Referer.
// There a page has one more request; here it has none.
(() => {
  const root = document.currentScript.dataset.root;
  const here = location.host;
  if (window.__panelgateRoot === root) return;
  Object.defineProperty(window, "__panelgateRoot", { value: root });

  const inside = (path) => path === root || path.startsWith(`${root}/`) || path.startsWith(`${root}?`) || path.startsWith("/.pg/static/");

  // An address as text: "/x" and "scheme://here/x" get the root, everything else stays as it is.
  function fixed(address) {
    if (typeof address !== "string") return address;
    const plain = address.trimStart();
    if (plain[0] === "/" && plain[1] !== "/" && plain[1] !== "\\") return inside(plain) ? address : root + plain;
    const full = /^(https?:|wss?:)?\/\/([^/?#]*)(.*)$/is.exec(plain);
    if (!full || full[2] !== here) return address;
    const path = full[3][0] === "/" ? full[3] : `/${full[3]}`;
    return inside(path) ? address : `${full[1] ?? ""}//${full[2]}${root}${path}`;
  }

  const asText = (address) => fixed(address instanceof URL ? address.href : address);

  const candidates = (list) => typeof list !== "string" ? list : list.replace(/((?:^|,)\s*)(\/[^\s,]*)/g, (_, before, address) => before + fixed(address));

  // Markup as text, as innerHTML takes it. The web proxy reads a page's own markup with more care.
  function markup(text) {
    if (typeof text !== "string" || !text.includes("/")) return text;
    return text
      .replace(/(\s(?:src|href|action|formaction|poster|background|xlink:href)\s*=\s*)(["']?)(\/(?![/\\])[^"'\s>]*)/gi,
        (_, before, quote, address) => before + quote + fixed(address))
      .replace(/(url\(\s*(?:["']|&quot;)?)(\/(?![/\\])[^"')]*)/gi, (_, before, address) => before + fixed(address));
  }

  // Trusted types and other objects pass as they are.
  function wrap(owner, name, change) {
    const old = owner?.[name];
    if (typeof old !== "function") return;
    owner[name] = function (...given) {
      return old.apply(this, change(given));
    };
    Object.defineProperty(owner[name], "name", { value: name });
  }

  // A class whose first argument is an address; constants and instanceof stay.
  function wrapClass(name) {
    const Old = window[name];
    if (typeof Old !== "function") return;
    window[name] = new Proxy(Old, {
      construct: (target, [address, ...more], made) => Reflect.construct(target, [asText(address), ...more], made === window[name] ? target : made),
    });
    Old.prototype.constructor = window[name];
  }

  function wrapSetter(owner, name, change) {
    const old = owner && Object.getOwnPropertyDescriptor(owner.prototype, name);
    if (!old?.set) return;
    Object.defineProperty(owner.prototype, name, {
      ...old,
      set(value) {
        old.set.call(this, change(value));
      },
    });
  }

  const first = ([address, ...more]) => [asText(address), ...more];

  const ask = window.fetch;
  window.fetch = function fetch(what, options) {
    if (what instanceof Request) {
      const address = fixed(what.url);
      return ask.call(this, address === what.url ? what : new Request(address, what), options);
    }
    return ask.call(this, asText(what), options);
  };
  const OldRequest = window.Request;
  window.Request = new Proxy(OldRequest, {
    construct: (target, [what, ...more], made) => Reflect.construct(target, [what instanceof OldRequest ? what : asText(what), ...more], made === window.Request ? target : made),
  });
  wrap(XMLHttpRequest.prototype, "open", ([method, address, ...more]) => [method, asText(address), ...more]);
  for (const name of ["WebSocket", "EventSource", "Worker", "SharedWorker"]) wrapClass(name);
  wrap(Navigator.prototype, "sendBeacon", first);
  wrap(window, "open", (given) => given.length ? first(given) : given);
  for (const name of ["pushState", "replaceState"]) {
    wrap(History.prototype, name, ([state, title, ...address]) => [state, title, ...address.map(asText)]);
  }

  const attributes = {
    src: ["HTMLImageElement", "HTMLScriptElement", "HTMLIFrameElement", "HTMLSourceElement", "HTMLMediaElement", "HTMLEmbedElement", "HTMLTrackElement", "HTMLInputElement", "HTMLFrameElement"],
    href: ["HTMLAnchorElement", "HTMLLinkElement", "HTMLAreaElement", "HTMLBaseElement"],
    action: ["HTMLFormElement"],
    formAction: ["HTMLButtonElement", "HTMLInputElement"],
    poster: ["HTMLVideoElement"],
    data: ["HTMLObjectElement"],
  };
  for (const [name, owners] of Object.entries(attributes)) for (const owner of owners) wrapSetter(window[owner], name, fixed);
  for (const owner of ["HTMLImageElement", "HTMLSourceElement"]) wrapSetter(window[owner], "srcset", candidates);
  wrapSetter(Element, "innerHTML", markup);
  wrapSetter(Element, "outerHTML", markup);
  wrapSetter(window.ShadowRoot, "innerHTML", markup);
  wrap(Element.prototype, "insertAdjacentHTML", ([where, text]) => [where, markup(text)]);
  for (const name of ["write", "writeln"]) wrap(Document.prototype, name, (given) => given.map(markup));

  const held = new Set(["src", "href", "xlink:href", "action", "formaction", "poster", "background"]);
  function attribute(element, name, value) {
    const word = String(name).toLowerCase();
    if (held.has(word) || (word === "data" && element.localName === "object")) return fixed(value);
    if (word === "srcset") return candidates(value);
    return word === "style" ? markup(value) : value;
  }
  const set = Element.prototype.setAttribute;
  Element.prototype.setAttribute = function setAttribute(name, value) {
    return set.call(this, name, attribute(this, name, value));
  };
  const setNS = Element.prototype.setAttributeNS;
  Element.prototype.setAttributeNS = function setAttributeNS(space, name, value) {
    return setNS.call(this, space, name, attribute(this, name, value));
  };
  for (const name of ["insertRule", "replace", "replaceSync"]) wrap(CSSStyleSheet.prototype, name, ([text, ...more]) => [markup(text), ...more]);
  wrap(CSSStyleDeclaration.prototype, "setProperty", ([name, value, ...more]) => [name, markup(value), ...more]);
  for (const name of ["cssText", "background", "backgroundImage"]) wrapSetter(window.CSSStyleDeclaration, name, markup);
})();
