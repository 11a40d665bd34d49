"""Tests in JavaScript and TypeScript: where they are, copies of them, and signs that they pass by chance."""

from envs.javascript.tests import WITHIN, JavaScriptFile, whole_of

__all__ = ["WITHIN", "JavaScriptFile", "whole_of"]
