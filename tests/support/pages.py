"""A notebook of long runs in memory."""

import numpy as np


class Pages(dict):
    said = ""

    def load(self, name):
        return self.get(name)

    def save(self, name, arrays):
        self[name] = {key: np.array(value) for key, value in arrays.items()}

    def say(self, text):
        self.said += f"{text}\n"
