"""What pyproject.toml cannot say: a wheel has the library's configs and studies within the package.

``cnn_jax.config.library`` finds the configs there, and beside the package in a clone, which an
editable install points to.
"""

from setuptools import setup
from setuptools.command.build_py import build_py


class WithConfigs(build_py):
    """Takes the folders beside the package along, as packages of it."""

    def finalize_options(self):
        """Add them, except to an editable install."""
        super().finalize_options()
        if not self.editable_mode:
            self.packages = [*self.packages, "cnn_jax.configs", "cnn_jax.experiments"]
            self.package_dir |= {
                "cnn_jax.configs": "configs",
                "cnn_jax.experiments": "experiments",
            }


setup(cmdclass={"build_py": WithConfigs})
