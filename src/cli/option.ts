/** @internal An option of a command. Without `value` it is a flag. */
export interface OptionDefinition {
  /** What its value is called in the help: "N", "FILE". */
  readonly value?: string;
  readonly help: string;
  readonly short?: string;
}

/** @internal The options of a command, by name. */
export type Options = Readonly<Record<string, OptionDefinition>>;
