// Everything public is described.

import assert from "node:assert/strict";
import { resolve } from "node:path";
import { test } from "node:test";

import ts from "typescript";

const PACKAGE = resolve(import.meta.dirname, "../..");
const GENERATED = /\/gen\/|node_modules/;

function undescribed(): string[] {
  const entry = resolve(PACKAGE, "src/index.ts");
  // Comments need no types: neither the library nor the packages are looked at.
  const program = ts.createProgram([entry], { module: ts.ModuleKind.NodeNext, noLib: true, types: [] });
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(entry);
  const index = source === undefined ? undefined : checker.getSymbolAtLocation(source);
  assert.ok(index !== undefined);
  const exported = checker.getExportsOfModule(index).map((symbol) => (symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol));
  const found = exported.filter((symbol) => !symbol.declarations?.some((node) => GENERATED.test(node.getSourceFile().fileName)));
  assert.ok(found.length > 20, "the exports were not found");
  const members = found.flatMap((symbol) => [...(symbol.members?.values() ?? [])].map((member) => ({ owner: symbol, member })));
  const missing = members.filter(({ member }) => !isHidden(member) && member.getDocumentationComment(checker).length === 0);
  return [
    ...found.filter((symbol) => symbol.getDocumentationComment(checker).length === 0).map((symbol) => symbol.name),
    ...missing.map(({ owner, member }) => `${owner.name}.${member.name}`),
  ];
}

function isHidden(member: ts.Symbol): boolean {
  const declared = member.declarations ?? [];
  return declared.every((node) => ts.isTypeParameterDeclaration(node) || (ts.isClassElement(node) && node.name !== undefined && ts.isPrivateIdentifier(node.name)));
}

test("everything that the package exports has a comment", () => {
  assert.deepEqual(undescribed(), []);
});
