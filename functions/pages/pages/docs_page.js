// The start of the documentation page: Swagger UI, with what the API's description alone can't tell it.
"use strict";

const KEY_HEADER = "Idempotency-Key";

// 16 random bytes; crypto.randomUUID is missing on pages of plain HTTP.
function makeKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Swagger UI fills a field with the parameter's example. The key has to be fresh; ids, filters and cursors of the
// examples exist nowhere, so they are shown with the schema instead, and their fields stay empty.
function prepareParameter(parameter) {
  if (parameter.name === KEY_HEADER) {
    return { ...parameter, example: makeKey() };
  }
  if (!["path", "query"].includes(parameter.in) || parameter.example === undefined) {
    return parameter;
  }
  const { example, ...shown } = parameter;
  return { ...shown, schema: { ...shown.schema, examples: [example] } };
}

function prepareDescription(description) {
  const parameters = description.components.parameters;
  for (const [name, parameter] of Object.entries(parameters)) {
    parameters[name] = prepareParameter(parameter);
  }
  for (const operation of Object.values(description.paths).flatMap(Object.values)) {
    operation.parameters = operation.parameters.map(prepareParameter);
  }
  return description;
}

// The key stands for an answer now (a final refusal is one, too): the next request needs another.
function isKeyUsed(status) {
  return status < 300 || status === 412 || status === 422;
}

function renewKey(system, path, method) {
  const operation = system.specSelectors.specResolvedSubtree(["paths", path, method]);
  const key = operation && operation.get("parameters").find((each) => each.get("name") === KEY_HEADER);
  if (key) {
    system.specActions.changeParamByIdentity([path, method], key, makeKey(), false);
  }
}

// The operations push down what is below them when they appear, so a section that a link names is scrolled to again,
// until the reader moves.
function keepNamedSectionInView() {
  const named = document.getElementById(location.hash.slice(1));
  if (!named) {
    return;
  }
  const follow = new ResizeObserver(() => named.scrollIntoView());
  follow.observe(document.getElementById("page"));
  for (const move of ["wheel", "touchstart", "keydown", "pointerdown"]) {
    addEventListener(move, () => follow.disconnect(), { once: true });
  }
}

const FreshKeys = {
  statePlugins: {
    spec: {
      wrapActions: {
        updateJsonSpec: (update) => (description) => update(prepareDescription(description)),
        setResponse: (set, system) => (path, method, response) => {
          const done = set(path, method, response);
          if (isKeyUsed(response.status)) {
            renewKey(system, path, method);
          }
          return done;
        },
      },
    },
  },
};

keepNamedSectionInView();
// Only the open page keeps the token: after a reload one signs in again.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#page",
  deepLinking: true,
  filter: true,
  docExpansion: "list",
  persistAuthorization: false,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
  plugins: [FreshKeys, ForEverybody],
  layout: "BaseLayout",
});
