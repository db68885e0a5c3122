/** Which names a function takes from outside itself. */
import type {
  AnonymousFunctionDeclaration,
  AnyNode,
  ArrowFunctionExpression,
  FunctionDeclaration,
  FunctionExpression,
  Node,
  Pattern,
} from 'acorn'

/** Any function of a text. */
export type FunctionNode =
  | ArrowFunctionExpression
  | FunctionExpression
  | FunctionDeclaration
  | AnonymousFunctionDeclaration

/** What a function needs that its text does not hold. */
export interface OuterNeeds {
  /** Names it reads or sets without declaring them, in order of appearance. */
  readonly names: ReadonlySet<string>
  /** `this` of the outermost function, or of the place where it stands if that is an arrow. */
  readonly usesThis: boolean
  /** An arrow's `arguments`: those of a function around it. */
  readonly usesArguments: boolean
}

class Scope {
  readonly names = new Set<string>()
  readonly parent: Scope | null
  constructor(parent: Scope | null) {
    this.parent = parent
  }

  declares(name: string): boolean {
    return this.names.has(name) || (this.parent?.declares(name) ?? false)
  }
}

/** Finds what `fn`, the outermost function of a text, takes from outside. Strict mode is assumed. */
export function outerNeeds(fn: FunctionNode): OuterNeeds {
  const walk = new Walk()
  walk.visit(fn, new Scope(null))
  return { names: walk.free, usesThis: walk.usesThis, usesArguments: walk.usesArguments }
}

class Walk {
  readonly free = new Set<string>()
  usesThis = false
  usesArguments = false
  /** How many functions and class bodies around the place have a `this` of their own. */
  #ownThis = 0
  #outermost = true

  visit(node: AnyNode, scope: Scope): void {
    switch (node.type) {
      case 'Identifier':
        return this.#refer(node.name, scope)
      case 'ThisExpression':
        if (this.#ownThis === 0) this.usesThis = true
        return
      case 'FunctionDeclaration':
      case 'FunctionExpression':
      case 'ArrowFunctionExpression':
        return this.#function(node, scope)
      case 'ClassDeclaration':
      case 'ClassExpression':
        return this.#class(node, scope)
      case 'MemberExpression':
        this.visit(node.object, scope)
        if (node.computed) this.visit(node.property, scope)
        return
      case 'Property':
        if (node.computed) this.visit(node.key, scope)
        return this.visit(node.value, scope)
      case 'UnaryExpression':
        // `typeof` of a name that nobody declared is no error: it is how a program asks whether there is one.
        if (node.operator === 'typeof' && node.argument.type === 'Identifier') return
        return this.visit(node.argument, scope)
      case 'MetaProperty':
      case 'BreakStatement':
      case 'ContinueStatement':
        return
      case 'LabeledStatement':
        return this.visit(node.body, scope)
      case 'BlockStatement':
      case 'StaticBlock': {
        const inner = new Scope(scope)
        if (node.type === 'StaticBlock') hoist(node.body, inner)
        declare(node.body, inner)
        return this.#all(node.body, inner)
      }
      case 'ForStatement':
      case 'ForInStatement':
      case 'ForOfStatement': {
        const inner = new Scope(scope)
        const head = node.type === 'ForStatement' ? node.init : node.left
        if (head != null) declare([head], inner)
        return this.#children(node, inner)
      }
      case 'SwitchStatement': {
        this.visit(node.discriminant, scope)
        const inner = new Scope(scope)
        for (const branch of node.cases) declare(branch.consequent, inner)
        return this.#all(node.cases, inner)
      }
      case 'CatchClause': {
        const inner = new Scope(scope)
        if (node.param != null) {
          bind(node.param, inner)
          this.visit(node.param, inner)
        }
        return this.visit(node.body, inner)
      }
      default:
        return this.#children(node, scope)
    }
  }

  #refer(name: string, scope: Scope): void {
    if (scope.declares(name)) return
    if (name === 'arguments') this.usesArguments = true
    else this.free.add(name)
  }

  #function(node: FunctionNode, outer: Scope): void {
    const arrow = node.type === 'ArrowFunctionExpression'
    const outermost = this.#outermost
    this.#outermost = false
    // `this` of the outermost function is nobody's, whichever kind of function it is.
    const own = !arrow && !outermost
    if (own) this.#ownThis++
    let around = outer
    if (node.type === 'FunctionExpression' && node.id != null) {
      around = new Scope(outer)
      around.names.add(node.id.name)
    }
    const parameters = new Scope(around)
    if (!arrow) parameters.names.add('arguments')
    for (const parameter of node.params) bind(parameter, parameters)
    this.#all(node.params, parameters)
    // A default value does not see the variables of the body.
    const body = new Scope(parameters)
    if (node.body.type === 'BlockStatement') {
      hoist(node.body.body, body)
      declare(node.body.body, body)
      this.#all(node.body.body, body)
    } else this.visit(node.body, body)
    if (own) this.#ownThis--
  }

  #class(node: Extract<AnyNode, { type: 'ClassDeclaration' | 'ClassExpression' }>, outer: Scope): void {
    const scope = new Scope(outer)
    if (node.id != null) scope.names.add(node.id.name)
    if (node.superClass != null) this.visit(node.superClass, scope)
    for (const member of node.body.body) {
      if (member.type === 'StaticBlock') {
        this.#ownThis++
        this.visit(member, scope)
        this.#ownThis--
        continue
      }
      if (member.computed) this.visit(member.key, scope)
      if (member.value == null) continue
      this.#ownThis++
      // A field's value has no `arguments`; the grammar sees to that.
      this.visit(member.value, scope)
      this.#ownThis--
    }
  }

  #all(nodes: readonly AnyNode[], scope: Scope): void {
    for (const node of nodes) this.visit(node, scope)
  }

  #children(node: AnyNode, scope: Scope): void {
    for (const value of Object.values(node) as unknown[]) {
      if (Array.isArray(value)) {
        for (const item of value) if (isNode(item)) this.visit(item, scope)
      } else if (isNode(value)) this.visit(value, scope)
    }
  }
}

function isNode(value: unknown): value is AnyNode {
  return typeof value === 'object' && value !== null && typeof (value as Node).type === 'string'
}

/** Adds the names that a pattern binds. */
function bind(pattern: Pattern, scope: Scope): void {
  switch (pattern.type) {
    case 'Identifier':
      scope.names.add(pattern.name)
      return
    case 'ObjectPattern':
      for (const property of pattern.properties)
        bind(property.type === 'RestElement' ? property.argument : property.value, scope)
      return
    case 'ArrayPattern':
      for (const element of pattern.elements) if (element !== null) bind(element, scope)
      return
    case 'AssignmentPattern':
      return bind(pattern.left, scope)
    case 'RestElement':
      return bind(pattern.argument, scope)
    default:
  }
}

/** Adds what the statements of one block declare for that block. */
function declare(statements: readonly AnyNode[], scope: Scope): void {
  for (const statement of statements) {
    if (statement.type === 'VariableDeclaration') {
      if (statement.kind !== 'var') for (const { id } of statement.declarations) bind(id, scope)
    } else if (statement.type === 'FunctionDeclaration' || statement.type === 'ClassDeclaration') {
      if (statement.id != null) scope.names.add(statement.id.name)
    } else if (statement.type === 'LabeledStatement') declare([statement.body], scope)
  }
}

/** Adds every `var` below, up to the functions and classes: these have their own. */
function hoist(nodes: readonly unknown[], scope: Scope): void {
  for (const node of nodes) {
    if (Array.isArray(node)) hoist(node, scope)
    if (!isNode(node)) continue
    if (node.type === 'VariableDeclaration' && node.kind === 'var')
      for (const { id } of node.declarations) bind(id, scope)
    if (/Function|^Class|^StaticBlock$/.test(node.type)) continue
    hoist(Object.values(node), scope)
  }
}
