"""Strict YAML: every key remembers its file and line, 1e-3 is a number, aliases and repeated keys are refused."""

import re

import yaml

from ..errors import UserError

MAX_BYTES = 1_000_000


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads 1e-3 as a float (YAML 1.2) and refuses aliases, which no configuration needs."""

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(
                problem="aliases (*name) are not allowed", problem_mark=self.peek_event().start_mark
            )
        return super().compose_node(parent, index)

    def construct_object(self, node, deep=False):
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError) as error:  # PyYAML's own, of `2001-99-99`, `0x_`, `!!bool x`
            kind = node.tag.rpartition(":")[2]
            raise yaml.MarkedYAMLError(problem=f"not a valid {kind}", problem_mark=node.start_mark) from error


_Loader.yaml_implicit_resolvers = {key: list(value) for key, value in yaml.SafeLoader.yaml_implicit_resolvers.items()}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_yaml(path):
    """Read a YAML file that holds one mapping.

    Returns (settings: dict, lines: {dotted key: (path, line number from 1)}).
    Raises UserError naming file and line for anything that is not plain, well-formed YAML.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise UserError(f"is no configuration: it has more than {MAX_BYTES} bytes", path)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", path) from error
    except UnicodeDecodeError as error:
        raise UserError("is not UTF-8 text", path, data.count(b"\n", 0, error.start) + 1) from error
    return parse_yaml(text, path)


def parse_yaml(text, path):
    """As read_yaml, from a string; `path` only names the place in errors."""
    lines = {}
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return {}, lines
        if not isinstance(node, yaml.MappingNode):
            raise UserError("expected `KEY: value` lines", path, node.start_mark.line + 1)
        return _mapping(loader, node, "", path, lines), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise UserError(f"not YAML: {error.problem or error.context}", path, mark and mark.line + 1) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UserError(f"not YAML: unexpected character {chr(error.character)!r}", path, line) from error
    except (ValueError, OverflowError) as error:  # PyYAML's own, of "\\UFFFFFFFF"
        raise UserError("not YAML: an escape that stands for no character", path, loader.line + 1) from error
    except RecursionError as error:
        raise UserError("not a configuration: nested too deeply", path) from error
    finally:
        if loader is not None:
            loader.dispose()


def parse_value(text):
    """Read one value of `--set KEY=VALUE` as YAML would (a list as [a, b]); text that is not YAML is taken as it is."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 -- _Loader is a SafeLoader
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError):
        return text


def _mapping(loader, node, prefix, path, lines):
    result = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node)
        line = key_node.start_mark.line + 1
        if not isinstance(key, str):
            raise UserError(f"expected a name before the colon, found {key!r}", path, line)
        if key in result:
            raise UserError(f"{prefix}{key} is given twice", path, line)
        lines[prefix + key] = (path, line)
        if isinstance(value_node, yaml.MappingNode):
            result[key] = _mapping(loader, value_node, f"{prefix}{key}.", path, lines)
        else:
            result[key] = loader.construct_object(value_node, deep=True)
    return result
