"""HTTP as API Gateway hands it over: requests parsed strictly, answers and problems written one way."""
