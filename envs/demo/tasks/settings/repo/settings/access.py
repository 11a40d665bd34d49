"""Typed access to parsed settings."""

TRUE = ("yes", "true", "on", "1")
FALSE = ("no", "false", "off", "0")


class Settings:
    def __init__(self, sections):
        self.sections = sections

    def has(self, section, key):
        return key in self.sections.get(section, {})

    def get_text(self, section, key, default=""):
        value = self.sections.get(section, {}).get(key, default)
        return value.strip("\"'")

    def get_number(self, section, key, default=0):
        text = self.get_text(section, key)
        return int(text) if text else default

    def get_flag(self, section, key):
        """A key alone means yes."""
        text = self.get_text(section, key, "yes" if self.has(section, key) else "no").lower()
        if text in TRUE:
            return True
        if text in FALSE:
            return False
        raise ValueError(f"{section}.{key}: not a flag: {text}")
