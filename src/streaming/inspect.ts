/** Hosts show an object by the method that it has under this symbol. */
const CUSTOM = Symbol.for("nodejs.util.inspect.custom");

/** The part of a class that `inspectable` needs. */
export interface InspectableClass<T> {
  readonly name: string;
  readonly prototype: T;
}

/** Makes `console.log` show objects of a class as `view` returns them. Hosts show no private fields. */
export function inspectable<T extends object>(
  { name, prototype }: InspectableClass<T>,
  view: (object: T) => object,
): void {
  // Hosts print the name of the class. The name of this one is the key.
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
