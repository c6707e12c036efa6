import tseslint from "typescript-eslint"

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
        { patterns: [{ group: ["node:*"], message: "only src/launcher may import node:" }] },
      ],
    },
  },
)
