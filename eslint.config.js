import { builtinModules } from "node:module"
import tseslint from "typescript-eslint"

const message = "only src/launcher may use what is Node's"

export default tseslint.config(
  { ignores: ["dist", "build", "coverage", "src/machine/core", "src/**/*.gen.ts"] },
  ...tseslint.configs.strict,
  {
    rules: {
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      "no-fallthrough": "error",
      eqeqeq: "error",
    },
  },
  {
    // Only the launcher may touch Node: the same simulator must run in a browser.
    files: ["src/**/*.ts"],
    ignores: ["src/launcher/**"],
    rules: {
      "no-restricted-imports": [
        "error",
        { patterns: [{ group: ["node:*"], message }], paths: builtinModules.map((name) => ({ name, message })) },
      ],
      "no-restricted-globals": ["error", ...["process", "Buffer", "require"].map((name) => ({ name, message }))],
    },
  },
)
