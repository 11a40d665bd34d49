"""Running a configuration on a data set: selecting tasks, managing images, and summarizing results."""
