/** Hosts ask an object by this symbol how it is to be shown. */
const CUSTOM = Symbol.for("nodejs.util.inspect.custom");

/** Has `console.log` show objects of a class as `view` gives them: private fields show nothing. */
export function inspectable<T extends object>({ name, prototype }: { readonly name: string; readonly prototype: T }, view: (object: T) => object): void {
  // Hosts print the name of the class, which for this one is that of the key.
  const shown = {
    [name]: class {
      constructor(fields: object) {
        Object.assign(this, fields);
      }
    },
  };
  Object.defineProperty(prototype, CUSTOM, {
    configurable: true,
    value: function (this: T): object {
      return new shown[name]!(view(this));
    },
  });
}
