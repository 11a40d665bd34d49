#!/usr/bin/env bash
# Install mocha into DIRECTORY/node_modules.
set -euo pipefail
npm install --prefix "$1" --silent --no-save --no-package-lock --ignore-scripts mocha@10.8.2
