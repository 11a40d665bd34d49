"""What can go wrong in a template."""


class TemplateError(ValueError):
    """The template cannot be rendered."""
