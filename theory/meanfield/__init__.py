"""The central object: order parameters, site, observables; saddle point, fluctuations, orders in 1/n."""
