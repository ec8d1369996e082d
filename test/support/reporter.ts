import type { Reporter, TestModule, TestSuite } from "vitest/node";

/**
 * Adds to vitest's own report: how many tests were skipped, by the reason that `skip` was given or that the name of
 * their suite ends with in brackets, or else by the suite; and as the very last line of the run `N passed, N failed`,
 * with `, N skipped` where there are any. A file or hook that fails outside of a test counts as one failure, so the
 * line says 0 failed only when the exit code is 0.
 */
export default class CountReporter implements Reporter {
  #passed = 0;
  #failed = 0;
  #skipped = new Map<string, number>();

  onInit(): void {
    // Vitest still may complain after onTestRunEnd; nothing is printed after the exit event.
    process.on("exit", (code) => {
      if (code === 0 && this.#failed > 0) process.exitCode = 1;
      if (code !== 0 && this.#failed === 0) {
        this.#failed = 1;
        process.stdout.write(`The test run itself failed: exit code ${code}\n`);
      }
      process.stdout.write(this.#report());
    });
  }

  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    this.#passed = 0;
    this.#failed = errors.length;
    this.#skipped.clear();
    for (const module of modules) this.#count(module);
  }

  #count(module: TestModule): void {
    this.#failed += module.errors().length;
    for (const suite of module.children.allSuites()) this.#failed += suite.errors().length;
    for (const test of module.children.allTests()) {
      const result = test.result();
      if (result.state === "passed") this.#passed++;
      else if (result.state === "failed") this.#failed++;
      else {
        const note = result.state === "skipped" ? result.note : undefined;
        const name = outermost(test.parent) ?? test.name;
        const why = note ?? / \[(.*)\]$/s.exec(name)?.[1] ?? `${module.relativeModuleId}: ${name}`;
        this.#skipped.set(why, (this.#skipped.get(why) ?? 0) + 1);
      }
    }
  }

  #report(): string {
    let text = "";
    let skipped = 0;
    for (const [why, count] of this.#skipped) {
      skipped += count;
      text += `SKIPPED ${count}: ${why}\n`;
    }
    return `${text}${this.#passed} passed, ${this.#failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}\n`;
  }
}

/** The name of the outermost suite around a test; undefined for a test that is in none. */
function outermost(parent: TestSuite | TestModule): string | undefined {
  let name: string | undefined;
  while (parent.type === "suite") {
    name = parent.name;
    parent = parent.parent;
  }
  return name;
}
