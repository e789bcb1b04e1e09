#!/usr/bin/env python3
"""Validates TOML files by a JSON Schema, with a validator that is not ours.

validate.py SCHEMA FOLDER: for each `.toml` file of the folder one line, its name and what is wrong with it, with a tab between them.
"""

import json
import sys
import tomllib
from pathlib import Path

from jsonschema import Draft202012Validator


def main(schema_path, folder):
    schema = json.loads(Path(schema_path).read_text())
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    for path in sorted(Path(folder).glob("*.toml")):
        value = tomllib.loads(path.read_text())
        # Dates are strings in JSON.
        value = json.loads(json.dumps(value, default=str))
        error = next(iter(validator.iter_errors(value)), None)
        words = "" if error is None else f"{error.json_path}: {error.message}"[:300].replace("\n", " ")
        print(path.name, words, sep="\t")


main(*sys.argv[1:])
